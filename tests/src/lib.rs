//! The proof that every surface agrees.

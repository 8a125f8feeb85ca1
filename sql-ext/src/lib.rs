//! Feature views, point-in-time training sets, as-of joins and batch scoring as SQL.

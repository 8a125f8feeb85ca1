//! Every feature function and drift statistic, and the point-in-time rule, once.
//!
//! Pure functions over slices: no I/O, clock, random numbers or arrow, and transcendental functions by `libm` alone, so
//! that a server, a component and a browser compute the same bits. [`FUNCTIONS`] is the list that SQL, HTTP, the page and
//! the generated reference are made from.

pub mod function;
pub mod pit;
pub mod suggest;
pub mod sum;
pub mod time;

pub use function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type, Value, Values, evaluate};

/// Every function, in the order of the reference.
pub static FUNCTIONS: &[&dyn Function] = &[];

/// The function of a name or alias, in any case.
pub fn find(name: &str) -> Result<&'static dyn Function, Error> {
    let lower = name.to_lowercase();
    FUNCTIONS.iter().copied().find(|function| function::names(*function).contains(&lower)).ok_or_else(|| {
        let hint = suggest::did_you_mean(&lower, FUNCTIONS.iter().map(|function| function.name()));
        Error::Unknown { name: name.to_owned(), hint }
    })
}

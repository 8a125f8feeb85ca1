//! Tails and quantiles of the distributions that tests and intervals are made of, by `libm` alone, so that every surface
//! computes the same bits. An argument outside a distribution's range gives NaN.

mod beta;
mod binomial;
mod gamma;
mod hypergeometric;
mod normal;

pub use beta::{beta_cdf, beta_quantile, f_sf, student_quantile, student_two_sided};
pub(crate) use binomial::{binomial_probability, deviance};
pub use gamma::{chi_square_sf, gamma_cdf};
pub(crate) use hypergeometric::Hypergeometric;
pub use normal::{normal_cdf, normal_quantile, normal_sf, normal_two_sided};

#[cfg(test)]
mod tests;

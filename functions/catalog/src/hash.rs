//! The one hash of the product: FarmHash's `Fingerprint64`, whose values are fixed for ever.

/// The fingerprint of bytes, as BigQuery and TensorFlow compute it.
///
/// ```
/// assert_eq!(skewless_catalog::hash::fingerprint64(b"hello world"), 6_381_520_714_923_946_011);
/// ```
#[must_use]
pub fn fingerprint64(bytes: &[u8]) -> u64 {
    farmhash::fingerprint64(bytes)
}

//! The bytes of states: numbers in little endian or as varints, texts and nested states behind their length.

use crate::function::BadState;
use crate::sum::read_u64;

/// Writes a number as LEB128: seven bits a byte, the lowest first.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes being written.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn f64(&mut self, value: f64) -> &mut Self {
        self.u64(value.to_bits())
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.u64(value.into())
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u64(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// Bytes being read.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn u64(&mut self) -> Result<u64, BadState> {
        read_u64(&mut self.0)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, BadState> {
        self.u64().map(f64::from_bits)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, BadState> {
        match self.u64()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadState),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], BadState> {
        let length = usize::try_from(self.u64()?).map_err(|_| BadState)?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(BadState)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, BadState> {
        std::str::from_utf8(self.bytes()?).map_err(|_| BadState)
    }

    /// That nothing is left.
    pub(crate) fn end(self) -> Result<(), BadState> {
        if self.0.is_empty() { Ok(()) } else { Err(BadState) }
    }
}

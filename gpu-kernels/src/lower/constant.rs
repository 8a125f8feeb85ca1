//! The constants of a graph, as matrices of floats.

use tract_onnx::pb::{NodeProto, TensorProto};

use super::FLOAT;

/// A constant tensor of floats with at most two dimensions, in row order. A scalar is one by one, a vector one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matrix {
    pub(crate) rank: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) data: Vec<f32>,
}

impl Matrix {
    /// Reads an initializer; nothing where it is no float tensor of at most two dimensions, or where its data does not
    /// fill its shape.
    pub(crate) fn from_tensor(tensor: &TensorProto) -> Option<Self> {
        if tensor.data_type != FLOAT || tensor.data_location.is_some_and(|location| location != 0) {
            return None;
        }
        let dims: Vec<usize> = tensor.dims.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>()?;
        let (rows, cols) = match *dims.as_slice() {
            [] => (1, 1),
            [cols] => (1, cols),
            [rows, cols] => (rows, cols),
            _ => return None,
        };
        let data = if tensor.float_data.is_empty() {
            let (words, rest) = tensor.raw_data.as_chunks::<4>();
            if !rest.is_empty() {
                return None;
            }
            words.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        } else {
            tensor.float_data.clone()
        };
        (rows.checked_mul(cols) == Some(data.len())).then_some(Self { rank: dims.len(), rows, cols, data })
    }

    /// Reads the value of a `Constant` node.
    pub(crate) fn from_constant(node: &NodeProto) -> Option<Self> {
        let attribute = node.attribute.first()?;
        match attribute.name.as_str() {
            "value" => Self::from_tensor(attribute.t.as_ref()?),
            "value_float" => Some(Self { rank: 0, rows: 1, cols: 1, data: vec![attribute.f] }),
            "value_floats" => {
                Some(Self { rank: 1, rows: 1, cols: attribute.floats.len(), data: attribute.floats.clone() })
            }
            _ => None,
        }
    }

    /// This matrix on its side.
    pub(crate) fn transposed(&self) -> Self {
        let column = |j: usize| self.data.iter().skip(j).step_by(self.cols.max(1)).copied();
        Self { rank: self.rank, rows: self.cols, cols: self.rows, data: (0..self.cols).flat_map(column).collect() }
    }

    /// Multiplies every element.
    pub(crate) fn scale(&mut self, factor: f32) {
        // Multiplying by one would still turn -0.0 * 1.0 into itself, so this only saves the time.
        if factor.to_bits() != 1.0_f32.to_bits() {
            self.data.iter_mut().for_each(|value| *value *= factor);
        }
    }

    /// This constant as one row of `cols` elements, as broadcasting makes it; nothing where it has several rows or
    /// another width.
    pub(crate) fn as_row(&self, cols: usize) -> Option<Self> {
        let data = match (self.rows, self.cols) {
            (1, 1) => vec![self.data.first().copied()?; cols],
            (1, n) if n == cols => self.data.clone(),
            _ => return None,
        };
        Some(Self { rank: 2, rows: 1, cols, data })
    }

    /// This matrix with rows and columns of `fill` added up to the given size.
    pub(crate) fn padded(&self, rows: usize, cols: usize, fill: f32) -> Vec<f32> {
        let mut out = Vec::with_capacity(rows.saturating_mul(cols));
        for row in self.data.chunks(self.cols.max(1)) {
            out.extend_from_slice(row);
            out.extend(std::iter::repeat_n(fill, cols.saturating_sub(self.cols)));
        }
        out.resize(rows.saturating_mul(cols), fill);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_and_padded_matrix_keeps_its_elements_in_place() {
        let matrix = Matrix { rank: 2, rows: 2, cols: 3, data: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        assert_eq!(matrix.transposed().data, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(matrix.padded(3, 4, 0.0), [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_tensor_whose_data_does_not_fill_its_shape_is_no_matrix() {
        let tensor = TensorProto { dims: vec![2, 3], data_type: FLOAT, float_data: vec![1.0; 5], ..Default::default() };
        assert_eq!(Matrix::from_tensor(&tensor), None);
        let negative = TensorProto { dims: vec![-1], data_type: FLOAT, ..Default::default() };
        assert_eq!(Matrix::from_tensor(&negative), None);
    }
}

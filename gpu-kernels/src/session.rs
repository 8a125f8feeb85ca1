//! A GPU piece ready to run: wonnx sessions by batch, rows cut and padded to them, and what comes back.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use wonnx::utils::{InputTensor, OutputTensor};

use crate::error::Error;
use crate::lower::{BATCHES, GpuPiece, padded};

/// Rows of one value, in row order.
pub(crate) struct Rows {
    pub(crate) columns: usize,
    pub(crate) data: Vec<f32>,
}

/// A GPU piece with its compiled sessions.
pub(crate) struct Program {
    pub(crate) piece: GpuPiece,
    /// One session serves one caller at a time, since its buffers are its own.
    sessions: Mutex<HashMap<usize, Arc<Mutex<wonnx::Session>>>>,
}

impl Program {
    /// Compiles the piece for the smallest batch, so that what the GPU refuses is known when the model is loaded.
    pub(crate) fn new(piece: GpuPiece) -> Result<Self, Error> {
        let program = Self { piece, sessions: Mutex::new(HashMap::new()) };
        if let Some(&smallest) = BATCHES.first() {
            program.session(smallest)?;
        }
        Ok(program)
    }

    /// Runs all rows; `inputs` and the answer are in the order of the piece's inputs and outputs.
    pub(crate) fn run(&self, inputs: &[&[f32]], rows: usize) -> Result<Vec<Rows>, Error> {
        let mut outputs: Vec<Rows> = self
            .piece
            .outputs
            .iter()
            .map(|&(_, _, columns)| Rows { columns, data: Vec::with_capacity(rows * columns) })
            .collect();
        let mut start = 0;
        while start < rows {
            let batch = self.piece.batch_for(rows - start);
            let count = batch.min(rows - start);
            self.run_batch(inputs, start, count, batch, &mut outputs)?;
            start += count;
        }
        Ok(outputs)
    }

    fn run_batch(
        &self,
        inputs: &[&[f32]],
        start: usize,
        count: usize,
        batch: usize,
        outputs: &mut [Rows],
    ) -> Result<(), Error> {
        let mut tensors = HashMap::with_capacity(inputs.len());
        for ((name, columns), data) in self.piece.inputs.iter().zip(inputs) {
            let wide = padded(*columns);
            let mut tensor = Vec::with_capacity(batch * wide);
            let rows = data.get(start * columns..(start + count) * columns).unwrap_or_default();
            for row in rows.chunks(*columns) {
                tensor.extend_from_slice(row);
                tensor.resize(tensor.len().next_multiple_of(wide), 0.0);
            }
            tensor.resize(batch * wide, 0.0);
            tensors.insert(name.clone(), InputTensor::F32(tensor.into()));
        }
        let session = self.session(batch)?;
        let session = session.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = guarded(|| pollster::block_on(session.run(&tensors)).map_err(|error| error.to_string()));
        let failed = |reason| Error::Failed { nodes: self.piece.nodes(), reason };
        let mut answer = answer.map_err(|reason| {
            // A lost device takes its sessions along; the next run makes fresh ones.
            self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clear();
            failed(reason)
        })?;
        for ((_, holder, columns), output) in self.piece.outputs.iter().zip(outputs) {
            let given = match answer.get(holder) {
                Some(OutputTensor::F32(data)) => data.as_slice(),
                Some(_) => return Err(failed(format!("`{holder}` is not of floats"))),
                None => match tensors.get(holder) {
                    Some(InputTensor::F32(data)) => data,
                    _ => return Err(failed(format!("`{holder}` did not come back"))),
                },
            };
            if given.len() != batch * padded(*columns) {
                return Err(failed(format!("`{holder}` came back with {} elements", given.len())));
            }
            for row in given.chunks(padded(*columns)).take(count) {
                output.data.extend(row.iter().take(*columns));
            }
        }
        answer.clear();
        Ok(())
    }

    fn session(&self, batch: usize) -> Result<Arc<Mutex<wonnx::Session>>, Error> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(&batch) {
            return Ok(Arc::clone(session));
        }
        wgpu::connect().map_err(|error| Error::NoDevice(error.to_string()))?;
        let bytes = self.piece.model(batch).encode_to_vec();
        let session = guarded(|| pollster::block_on(wonnx::Session::from_bytes(&bytes)).map_err(|e| e.to_string()))
            .map_err(|reason| Error::Refused { nodes: self.piece.nodes(), reason })?;
        let session = Arc::new(Mutex::new(session));
        sessions.insert(batch, Arc::clone(&session));
        Ok(session)
    }
}

/// Calls wonnx: an error of the GPU counts even where wonnx did not see it, and a panic inside wonnx (it has asserts
/// on the models it is given) is an error like the others.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    wgpu::take_faults();
    let answer = catch_unwind(AssertUnwindSafe(call));
    let faults = wgpu::take_faults();
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    answer.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(format!("wonnx panicked: {text}"))
    })
}

//! Times the CPU engine on a model of one numeric input, for `tests/bench/inference`.
//!
//! `time MODEL ROWS`: MODEL is a `.onnx` file or a bundle, ROWS a file of the input's 32-bit floats, little-endian, row by
//! row. It prints one line of JSON when the model is loaded, with `load_ms` and `features`. Then for each line `BATCH
//! SECONDS` of its standard input it scores batches of that many rows for about that long, and prints a line with `runs`,
//! the median of a run in `wall_us` and the mean in `cpu_us` (0 where the system does not say), and the `sum` of the last
//! outputs, by which whoever asks can tell that they are right.

use std::io::BufRead as _;
use std::path::Path;
use std::time::Instant;

use skewless_model::{Bundle, CpuEngine, Engine as _, Session, Tensor};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, rows] = arguments.as_slice() else { return Err("usage: time MODEL ROWS".into()) };
    let started = Instant::now();
    let bundle = Bundle::open(Path::new(model))?;
    let session = CpuEngine.load(&bundle)?;
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    let [input] = bundle.signature().inputs.as_slice() else { return Err("the model has not one input".into()) };
    let width = input.width.scalars();
    let bytes = std::fs::read(rows)?;
    let (values, _) = bytes.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    println!(r#"{{"load_ms": {load_ms:.3}, "features": {width}}}"#);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (batch, seconds) = line.split_once(' ').ok_or("a line is not BATCH SECONDS")?;
        let (batch, seconds): (usize, f64) = (batch.parse()?, seconds.parse()?);
        let rows = values.get(..batch * width).ok_or("there are not as many rows")?;
        measure(session.as_ref(), &[Tensor::float32(vec![batch, width], rows.to_vec())?], seconds)?;
    }
    Ok(())
}

fn measure(session: &dyn Session, inputs: &[Tensor], seconds: f64) -> Result<(), Failure> {
    let mut outputs = session.run(inputs)?;
    let (started, processor) = (Instant::now(), processor_ns());
    let mut times = Vec::new();
    while times.is_empty() || started.elapsed().as_secs_f64() < seconds {
        let run = Instant::now();
        outputs = session.run(inputs)?;
        times.push(run.elapsed().as_secs_f64() * 1e6);
    }
    let cpu_us = processor_ns().saturating_sub(processor) as f64 / 1e3 / times.len() as f64;
    times.sort_by(f64::total_cmp);
    let sum: f64 = outputs.iter().filter_map(Tensor::to_f64).flatten().sum();
    println!(r#"{{"runs": {}, "wall_us": {}, "cpu_us": {cpu_us}, "sum": {sum}}}"#, times.len(), times[times.len() / 2]);
    Ok(())
}

/// Time on the processor of this thread, in nanoseconds, as Linux tells it.
fn processor_ns() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0)
}

//! How fast profiles are made, of one core: `cargo run --release -p skewless-catalog --example profile_speed`.

use std::hint::black_box;

use skewless_catalog::distribution::normal_quantile;
use skewless_catalog::profile::Profile;

const ROWS: usize = 4_000_000;
/// The rows of a batch of DataFusion.
const BATCH: usize = 8_192;

fn main() {
    let unit = |i: usize| (i as f64 * 0.618_033_988_749_894_9).fract();
    let normal: Vec<f64> = (0..ROWS).map(|i| normal_quantile(unit(i).clamp(1e-12, 1.0 - 1e-12))).collect();
    let wide: Vec<f64> = normal.iter().map(|z| libm::exp(3.0 * z)).collect();
    let integers: Vec<f64> = (0..ROWS).map(|i| (unit(i) * 1_000.0).floor()).collect();
    let many: Vec<f64> = (0..ROWS).map(|i| (unit(i) * 1e6).floor()).collect();
    let some: Vec<bool> = (0..ROWS).map(|i| i % 10 != 0).collect();
    for (name, values) in
        [("normal", &normal), ("lognormal", &wide), ("1000 integers", &integers), ("1M integers", &many)]
    {
        report(name, 8 * ROWS, || numbers(values, None));
        report(&format!("{name}, 10 % NULL"), 8 * ROWS, || numbers(values, Some(&some)));
    }
    for (name, kinds) in [("20 texts", 20.0), ("5000 texts", 5_000.0), ("1M texts", 1e6)] {
        let texts: Vec<String> = (0..ROWS).map(|i| format!("N{}", (unit(i) * kinds) as u64)).collect();
        let bytes = texts.iter().map(String::len).sum();
        report(name, bytes, || {
            let mut profile = Profile::new();
            profile.update_texts(texts.iter().map(|text| Some(text.as_str()))).expect("these are texts");
            profile
        });
    }
    let parts: Vec<Vec<u8>> = normal.chunks(40_000).map(|part| numbers(part, None).to_bytes()).collect();
    let start = now();
    let mut merged = Profile::new();
    for part in &parts {
        merged.merge(&Profile::from_bytes(part).expect("a profile")).expect("numbers");
    }
    let each = (now() - start) * 1e6 / parts.len() as f64;
    println!("reading and merging a profile of {} bytes takes {each:.0} µs", parts[0].len());
    assert_eq!(merged.to_bytes(), numbers(&normal, None).to_bytes());
}

/// Seconds that this thread ran: other work of the machine does not count.
fn now() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this measures on Linux");
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).expect("nanoseconds come first") / 1e9
}

fn numbers(values: &[f64], valid: Option<&[bool]>) -> Profile {
    let mut profile = Profile::new();
    for (i, batch) in values.chunks(BATCH).enumerate() {
        profile
            .update(batch, valid.map(|valid| &valid[i * BATCH..i * BATCH + batch.len()]))
            .expect("these are numbers");
    }
    profile
}

/// The best of five runs.
fn report(name: &str, bytes: usize, run: impl Fn() -> Profile) {
    let best = (0..5)
        .map(|_| {
            let start = now();
            black_box(run());
            now() - start
        })
        .fold(f64::INFINITY, f64::min);
    let profile = run();
    println!(
        "{name:24} {:6.0} MB/s {:5.1} ns/row, profile of {} bytes, {} on the heap",
        bytes as f64 / best / 1e6,
        best * 1e9 / ROWS as f64,
        profile.to_bytes().len(),
        profile.heap_size()
    );
}

//! Profiles that were written with version 1 of the format stay readable, and say what they said.

use std::path::Path;

use skewless_catalog::profile::Profile;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/profile/v1");

/// The profiles by the names of their files.
fn profiles() -> Vec<(&'static str, Profile)> {
    let numbers = |values: &mut dyn Iterator<Item = f64>| {
        let mut profile = Profile::new();
        profile.update(&values.collect::<Vec<_>>(), None).unwrap();
        profile
    };
    let texts = |values: &mut dyn Iterator<Item = Option<String>>| {
        let mut profile = Profile::new();
        let values: Vec<_> = values.collect();
        profile.update_texts(values.iter().map(Option::as_deref)).unwrap();
        profile
    };
    let fraction = |i: u32| (f64::from(i) * 0.618_033_988_749_894_9).fract();
    let mut special = numbers(&mut [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 5e-324, -1.5].into_iter());
    special.update(&[0.0; 3], Some(&[false; 3])).unwrap();
    vec![
        ("nulls", texts(&mut [None, None].into_iter())),
        ("special_numbers", special),
        ("few_numbers", numbers(&mut (0..500).map(|i| f64::from(i % 50) / 4.0))),
        ("integers", numbers(&mut (0..20_000).map(|i| f64::from(i * 7 % 5_003)))),
        ("both_signs", numbers(&mut (0..9_000).map(|i| fraction(i) * fraction(i) * fraction(i) - 0.125))),
        (
            "all_magnitudes",
            numbers(&mut (0..6_000).map(|i: u64| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)))),
        ),
        ("few_texts", texts(&mut (0..100).map(|i| (i % 9 > 0).then(|| "xyz".repeat(i % 4 * (i % 5) * 3))))),
        ("many_texts", texts(&mut (0..9_000).map(|i| Some(format!("ünï {}", i * i % 1_009))))),
    ]
}

#[test]
fn every_file_of_version_1_says_what_it_said() {
    for (name, profile) in profiles() {
        let bytes = std::fs::read(format!("{FOLDER}/{name}.bin")).unwrap();
        let json = std::fs::read_to_string(format!("{FOLDER}/{name}.json")).unwrap();
        let read = Profile::from_bytes(&bytes).unwrap();
        assert_eq!(format!("{:#}\n", read.to_json()), json, "{name}");
        // As long as version 1 is what is written, the same rows have the same bytes.
        assert_eq!(profile.to_bytes(), bytes, "{name}");
        let mut twice = read.clone();
        twice.merge(&profile).unwrap();
        assert_eq!(twice.rows(), 2 * read.rows());
    }
    let files = std::fs::read_dir(Path::new(FOLDER)).unwrap().count();
    assert_eq!(files, 2 * profiles().len(), "each file is tested");
}

/// Run once for a version, before it is used: `cargo test -p skewless-catalog --test profile -- --ignored`.
#[test]
#[ignore = "writes the files"]
fn write_the_files() {
    for (name, profile) in profiles() {
        std::fs::write(format!("{FOLDER}/{name}.bin"), profile.to_bytes()).unwrap();
        std::fs::write(format!("{FOLDER}/{name}.json"), format!("{:#}\n", profile.to_json())).unwrap();
    }
}

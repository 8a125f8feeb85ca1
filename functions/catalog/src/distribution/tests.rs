//! Against scipy 1.17.1 (`scipy.stats`: norm, beta, t, f, gamma).

use super::*;

fn near(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-10 * want.abs(), "{got:e} for {want:e}");
}

#[test]
fn the_normal_distribution() {
    for (z, want) in [
        (0.5, 0.308_537_538_725_986_9),
        (3.0, 0.001_349_898_031_630_093_3),
        (10.0, 7.619_853_024_160_47e-24),
        (30.0, 4.906_713_927_147_908e-198),
        (-2.0, 0.977_249_868_051_820_8),
    ] {
        near(normal_sf(z), want);
        near(normal_cdf(-z), want);
    }
    for (p, want) in [
        (1e-300, -37.047_096_299_361_2),
        (1e-10, -6.361_340_902_404_056),
        (0.01, -2.326_347_874_040_840_8),
        (0.3, -0.524_400_512_708_040_9),
        (0.975, 1.959_963_984_540_054),
    ] {
        near(normal_quantile(p), want);
    }
    assert_eq!(normal_quantile(0.5).to_bits(), 0.0_f64.to_bits());
    assert!(normal_quantile(-0.1).is_nan());
    assert!(normal_quantile(1.0).is_infinite());
}

#[test]
fn the_beta_distribution() {
    for (a, b, x, want) in [
        (2.0, 3.0, 0.4, 0.524_8),
        (0.5, 0.5, 0.001, 0.020_135_041_633_377_492),
        (5000.0, 7000.0, 0.42, 0.770_687_853_543_783_1),
        (0.1, 30.0, 0.2, 0.999_976_565_378_227),
        (300.0, 2.0, 0.999, 0.962_919_141_802_929_3),
    ] {
        near(beta_cdf(a, b, x), want);
    }
    for (a, b, p, want) in [
        (2.0, 3.0, 0.4, 0.329_166_503_378_407_9),
        (0.5, 0.5, 0.001, 2.467_399_070_916_944_6e-6),
        (5000.0, 7000.0, 0.42, 0.415_753_584_623_678_3),
        (11.0, 3.0, 0.975, 0.949_618_926_508_848_5),
    ] {
        near(beta_quantile(a, b, p), want);
    }
}

#[test]
fn student_s_t_and_f() {
    for (t, df, want) in [
        (2.1, 3.5, 0.113_525_825_220_798_14),
        (1e-3, 10.0, 0.999_221_783_374_741),
        (-40.0, 7.0, 1.590_217_998_485_036_4e-9),
        (5.0, 1e6, 5.733_997_870_890_745e-7),
    ] {
        near(student_two_sided(t, df), want);
    }
    for (p, df, want) in [
        (0.975, 3.0, 3.182_446_305_283_707_8),
        (0.975, 30.5, 2.040_869_445_186_32),
        (0.1, 1.0, -3.077_683_537_175_253_6),
    ] {
        near(student_quantile(p, df), want);
    }
    for (f, between, within, want) in [
        (3.2, 2.0, 10.0, 0.084_290_913_353_873_88),
        (0.1, 5.0, 7.0, 0.988_958_993_162_265_8),
        (50.0, 1.0, 100.0, 2.121_830_680_357_545_2e-10),
    ] {
        near(f_sf(f, between, within), want);
    }
}

#[test]
fn the_gamma_distribution() {
    for (shape, x, want) in [
        (2.5, 1.3, 0.238_634_732_154_986_04),
        (0.5, 4.0, 0.995_322_265_018_952_7),
        (100.0, 80.0, 0.017_108_313_035_133_1),
    ] {
        near(gamma_cdf(shape, x), want);
    }
}

/// Fisher's two-sided p-value of `[[a, b], [c, d]]`, against the same sums with 50 digits (mpmath 1.3.0): of large counts
/// `scipy.stats.fisher_exact` has seven digits.
#[test]
fn the_hypergeometric_distribution_on_both_sides() {
    for ([a, b, c, d], want) in [
        ([8, 2, 1, 5], 0.034_965_034_965_034_97),
        ([50, 9_999_950, 20, 29_999_980], 4.651_462_378_058_044e-16),
        ([0, 1_000_000, 12, 1_000_000], 0.000_488_265_138_148_761_1),
        ([3_000_000, 7_000_000, 2_999_000, 7_003_000], 0.435_242_233_431_835_64),
        ([500_000_000, 500_000_000, 500_060_000, 499_970_000], 0.044_177_644_513_993_28),
        ([1_000_000_000, 10, 1_000_000_000, 30], 0.002_221_433_553_510_733),
        ([1 << 40, 1 << 40, 1 << 40, 1 << 40], 1.0),
    ] {
        let (distribution, place) = Hypergeometric::with(a + b, c + d, a + c, a);
        near(distribution.two_sided(place), want);
        let (mirrored, place) = Hypergeometric::with(c + d, a + b, b + d, d);
        near(mirrored.two_sided(place), want);
    }
}

#[test]
fn an_argument_outside_the_range_gives_nan() {
    for got in [
        beta_cdf(0.0, 1.0, 0.5),
        beta_quantile(1.0, 1.0, 1.5),
        student_two_sided(1.0, 0.0),
        student_quantile(0.5, f64::NAN),
        f_sf(1.0, -1.0, 1.0),
        gamma_cdf(-1.0, 1.0),
        chi_square_sf(1.0, 0.0),
    ] {
        assert!(got.is_nan());
    }
}

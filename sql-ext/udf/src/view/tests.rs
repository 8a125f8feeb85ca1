use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{Float64Type, Int64Type, TimeUnit};
use datafusion_common::ScalarValue;
use proptest::prelude::*;
use skewless_catalog::pit;

use super::*;

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const HOUR: i64 = 3_600_000_000;

fn window(function: &str, arg: &str, range: Span) -> FeatureValue {
    FeatureValue::Window(Window {
        function: function.to_owned(),
        args: vec![arg.to_owned()],
        distinct: false,
        ignore_nulls: false,
        filter: None,
        range,
    })
}

fn plain(name: &str) -> FeatureValue {
    FeatureValue::Plain { column: name.to_owned() }
}

fn feature(name: &str, data_type: DataType, value: FeatureValue) -> Feature {
    Feature { name: name.to_owned(), data_type: data_type.into(), value }
}

/// Integer times: key, event, known, seq, x.
fn integers(ttl: Option<i64>, range: i64) -> FeatureView {
    FeatureView::new(
        "v",
        "CREATE FEATURE VIEW v …",
        Kind::Recorded(Recorded {
            entity: vec!["k".to_owned()],
            timestamp: "event".to_owned(),
            available_at: Some("known".to_owned()),
            ttl: ttl.map(Span::Integer),
            tie_break: vec!["seq".to_owned()],
            rows: ["k", "event", "known", "seq"]
                .into_iter()
                .map(|name| ColumnType::new(name, DataType::Int64))
                .chain([ColumnType::new("x", DataType::Float64)])
                .collect(),
            features: vec![
                feature("x", DataType::Float64, plain("x")),
                feature("n", DataType::Int64, window("count", "x", Span::Integer(range))),
                feature("low", DataType::Float64, window("min", "x", Span::Integer(range))),
                feature("first", DataType::Float64, window("first_value", "x", Span::Integer(range))),
                feature("all", DataType::Int64, window("count", "1", Span::Unbounded)),
            ],
            push: None,
            materialize_only: Some("it joins".to_owned()),
        }),
    )
}

type IntegerRow = (Option<i64>, Option<i64>, Option<i64>, i64, Option<f64>);

fn integer_rows(rows: &[IntegerRow]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.2).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| Some(r.3)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.4).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(integers(None, 0).rows_schema(), columns).expect("the view's schema")
}

fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<Int64Array>())
}

fn flights(ttl: Option<i64>) -> FeatureView {
    FeatureView::new(
        "inbound",
        "CREATE FEATURE VIEW inbound …",
        Kind::Recorded(Recorded {
            entity: vec!["tailnum".to_owned()],
            timestamp: "departed".to_owned(),
            available_at: Some("landed".to_owned()),
            ttl: ttl.map(Span::Time),
            tie_break: Vec::new(),
            rows: vec![
                ColumnType::new("tailnum", DataType::Utf8View),
                ColumnType::new("departed", MICROS),
                ColumnType::new("landed", MICROS),
                ColumnType::new("delay", DataType::Float64),
            ],
            features: vec![feature("delay", DataType::Float64, plain("delay"))],
            push: Some(Push {
                source: vec![
                    ColumnType::new("tailnum", DataType::Utf8View),
                    ColumnType::new("dep", MICROS),
                    ColumnType::new("air", DataType::Float64),
                    ColumnType::new("delay", DataType::Int64),
                ],
                filter: Some("(air IS NOT NULL)".to_owned()),
                columns: vec![
                    "tailnum".to_owned(),
                    "dep".to_owned(),
                    "(dep + arrow_cast(CAST(((air + 20.0) * 60000000.0) AS BIGINT), 'Duration(µs)'))".to_owned(),
                    "CAST(delay AS DOUBLE)".to_owned(),
                ],
            }),
            materialize_only: None,
        }),
    )
}

#[test]
fn a_view_survives_json() -> Result<()> {
    for view in [flights(Some(HOUR * 1000)), integers(Some(3), 4)] {
        let json = view.to_json()?;
        assert_eq!(FeatureView::from_json(&json)?, view);
        let later = json.replacen("\"version\":1", "\"version\":2", 1);
        let message = FeatureView::from_json(&later).map(|_| ()).expect_err("a later version").to_string();
        assert!(message.contains("version 2"), "{message}");
    }
    assert!(FeatureView::from_json("{}").is_err());
    Ok(())
}

#[test]
fn pushed_source_rows_become_the_views_rows() -> Result<()> {
    let view = flights(None);
    let source = RecordBatch::try_from_iter([
        ("delay", Arc::new(Int32Array::from(vec![Some(5), None, Some(7)])) as ArrayRef),
        ("tailnum", Arc::new(StringArray::from(vec!["N1", "N2", "N3"])) as ArrayRef),
        ("dep", Arc::new(TimestampMicrosecondArray::from(vec![0, 1, 2])) as ArrayRef),
        ("air", Arc::new(Float64Array::from(vec![Some(40.0), None, Some(100.0)])) as ArrayRef),
    ])?;
    let rows = view.rows_from_source(&source)?;
    assert_eq!(rows.schema(), view.rows_schema());
    assert_eq!(rows.num_rows(), 2);
    assert_eq!(
        rows.column(2).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values(),
        &[HOUR, 2 * HOUR + 2]
    );
    assert_eq!(codec::decode(&codec::encode(&rows)?)?, rows);
    assert!(codec::decode(b"rows").is_err());

    let message = view.rows_from_source(&source.project(&[0, 1, 2])?).expect_err("a column is missing").to_string();
    assert!(message.contains("`air`"), "{message}");
    let message = integers(None, 0).rows_from_source(&source).expect_err("materialize only").to_string();
    assert!(message.contains("it joins"), "{message}");
    Ok(())
}

#[test]
fn each_status_has_its_cause() -> Result<()> {
    use Status::{BeforeFirst, Expired, NoEntity, NotYetKnown, NullKey, NullTime, Ok as Fine};
    let rows = integer_rows(&[
        (Some(1), Some(10), Some(20), 0, Some(1.5)),
        (Some(1), Some(12), None, 0, Some(9.0)),
        (None, Some(1), Some(1), 0, Some(9.0)),
    ]);
    let table = FeatureTable::new(Arc::new(integers(Some(15), 100)), vec![rows])?;
    let keys = ints(&[None, Some(1), Some(2), Some(1), Some(1), Some(1), Some(1), Some(1)]);
    let times = ints(&[Some(30), None, Some(30), Some(9), Some(19), Some(20), Some(25), Some(26)]);
    let found = table.lookup(&[keys], &times)?;
    assert_eq!(found.status, [NullKey, NullTime, NoEntity, BeforeFirst, NotYetKnown, Fine, Fine, Expired]);
    let x: Vec<_> = found.values[0].as_primitive::<Float64Type>().iter().collect();
    assert_eq!(x, [None, None, None, None, None, Some(1.5), Some(1.5), None]);
    // Counts of an empty window are 0; without a key or a time there is no window. ttl does not concern windows.
    let n: Vec<_> = found.values[1].as_primitive::<Int64Type>().iter().collect();
    assert_eq!(n, [None, None, Some(0), Some(0), Some(0), Some(1), Some(1), Some(1)]);
    let low: Vec<_> = found.values[2].as_primitive::<Float64Type>().iter().collect();
    assert_eq!(low, [None, None, None, None, None, Some(1.5), Some(1.5), Some(1.5)]);
    let event: Vec<_> = found.event_time.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(event, [None, None, None, None, None, Some(10), Some(10), Some(10)]);
    Ok(())
}

#[test]
fn times_of_different_units_compare_exactly() -> Result<()> {
    let view = Arc::new(flights(Some(1_000_000_000)));
    let rows = RecordBatch::try_new(
        view.rows_schema(),
        vec![
            Arc::new(arrow::array::StringViewArray::from(vec!["N1"])),
            Arc::new(TimestampMicrosecondArray::from(vec![1_000_001])),
            Arc::new(TimestampMicrosecondArray::from(vec![1_000_001])),
            Arc::new(Float64Array::from(vec![5.0])),
        ],
    )?;
    let table = FeatureTable::new(view, vec![rows])?;
    let status = |times: ArrayRef| -> Result<Status> {
        let key: ArrayRef = Arc::new(StringArray::from(vec!["N1"]));
        Ok(table.lookup(&[key], &times)?.status[0])
    };
    assert_eq!(status(Arc::new(TimestampNanosecondArray::from(vec![1_000_000_999])))?, Status::BeforeFirst);
    assert_eq!(status(Arc::new(TimestampNanosecondArray::from(vec![1_000_001_000])))?, Status::Ok);
    assert_eq!(status(Arc::new(TimestampMillisecondArray::from(vec![1_000])))?, Status::BeforeFirst);
    assert_eq!(status(Arc::new(TimestampMillisecondArray::from(vec![1_001])))?, Status::Ok);
    assert_eq!(status(Arc::new(TimestampNanosecondArray::from(vec![2_000_001_000])))?, Status::Ok);
    assert_eq!(status(Arc::new(TimestampNanosecondArray::from(vec![2_000_001_001])))?, Status::Expired);
    assert_eq!(status(Arc::new(TimestampSecondArray::from(vec![i64::MAX])))?, Status::Expired);
    assert_eq!(status(Arc::new(TimestampSecondArray::from(vec![i64::MIN])))?, Status::BeforeFirst);
    assert_eq!(status(Arc::new(Date32Array::from(vec![0])))?, Status::BeforeFirst);
    assert_eq!(status(Arc::new(Date32Array::from(vec![1])))?, Status::Expired);
    let message = status(Arc::new(Int64Array::from(vec![1]))).expect_err("an integer").to_string();
    assert!(message.contains("an integer time"), "{message}");
    Ok(())
}

#[test]
fn keys_of_one_kind_compare_and_others_are_refused() -> Result<()> {
    let rows = integer_rows(&[(Some(7), Some(1), Some(1), 0, Some(1.0)), (Some(-1), Some(1), Some(1), 0, Some(2.0))]);
    let table = FeatureTable::new(Arc::new(integers(None, 0)), vec![rows])?;
    let find = |key: ArrayRef| table.lookup(&[key], &ints(&[Some(5)])).map(|found| found.status[0]);
    assert_eq!(find(Arc::new(Int32Array::from(vec![7])))?, Status::Ok);
    assert_eq!(find(Arc::new(UInt64Array::from(vec![7])))?, Status::Ok);
    assert_eq!(find(Arc::new(UInt64Array::from(vec![u64::MAX])))?, Status::NoEntity);
    assert_eq!(find(Arc::new(Int32Array::from(vec![None])))?, Status::NullKey);
    let message = find(Arc::new(StringArray::from(vec!["7"]))).expect_err("a string").to_string();
    assert!(message.contains("Utf8") && message.contains("cast"), "{message}");
    Ok(())
}

#[test]
fn an_entity_key_is_one_text_for_equal_keys() {
    let strings = |s: &str| Arc::new(StringArray::from(vec![s])) as ArrayRef;
    assert_eq!(entity_key(&[strings("N\"1")], 0).as_deref(), Some("[\"N\\\"1\"]"));
    assert_eq!(entity_key(&[strings("a"), ints(&[Some(-7)])], 0).as_deref(), Some("[\"a\",-7]"));
    assert_eq!(entity_key(&[Arc::new(Int32Array::from(vec![-7])) as ArrayRef], 0).as_deref(), Some("[-7]"));
    assert_eq!(entity_key(&[ints(&[None])], 0), None);
    assert_eq!(entity_key(&[ints(&[Some(1)])], 1), None);
    assert_eq!(entity_key(&[], 0).as_deref(), Some("[]"));
    let float = |v: f64| entity_key(&[Arc::new(Float64Array::from(vec![v])) as ArrayRef], 0);
    assert_eq!(float(-0.0), float(0.0));
    assert_eq!(float(f64::NAN).as_deref(), Some("[\"NaN\"]"));
}

#[test]
fn what_was_not_known_at_the_cutoff_does_not_exist() -> Result<()> {
    let rows = integer_rows(&[
        (Some(1), Some(1), Some(1), 0, Some(1.0)),
        (Some(1), Some(2), Some(9), 0, Some(2.0)),
        (Some(2), Some(1), Some(9), 0, Some(3.0)),
    ]);
    let view = Arc::new(integers(None, 100));
    let at =
        |cutoff: i64| FeatureTable::known_at(Arc::clone(&view), vec![rows.clone()], &ScalarValue::Int64(Some(cutoff)));
    let keys = || ints(&[Some(1), Some(2)]);
    let late = at(8)?.lookup(&[keys()], &ints(&[Some(50), Some(50)]))?;
    assert_eq!(late.status, [Status::Ok, Status::NoEntity]);
    assert_eq!(late.values[0].as_primitive::<Float64Type>().values()[..1], [1.0]);
    let all = at(9)?.lookup(&[keys()], &ints(&[Some(50), Some(50)]))?;
    assert_eq!(all.values[0].as_primitive::<Float64Type>().values(), &[2.0, 3.0]);
    let stamp = ScalarValue::TimestampSecond(Some(1), None);
    assert!(FeatureTable::known_at(view, vec![rows], &stamp).is_err());
    Ok(())
}

#[test]
fn a_view_without_an_entity_is_looked_up_by_time_alone() -> Result<()> {
    let view = keyed(&[]);
    let rows = integer_rows(&[(None, Some(1), Some(1), 0, Some(1.0)), (Some(2), Some(5), Some(5), 0, Some(2.0))]);
    let table = FeatureTable::new(Arc::new(view.clone()), vec![rows])?;
    let found = table.lookup(&[], &ints(&[Some(0), Some(4), Some(5)]))?;
    assert_eq!(found.status, [Status::BeforeFirst, Status::Ok, Status::Ok]);
    assert_eq!(table.entities()?.map(|(key, rows)| (key, rows.num_rows())).collect::<Vec<_>>(), [("[]".to_owned(), 2)]);
    let empty = FeatureTable::new(Arc::new(view), Vec::new())?;
    assert_eq!(empty.lookup(&[], &ints(&[Some(0)]))?.status, [Status::NoEntity]);
    Ok(())
}

#[test]
fn on_demand_features_are_computed_from_their_inputs() -> Result<()> {
    let view = FeatureView::new(
        "plan",
        "CREATE FEATURE VIEW plan ON DEMAND …",
        Kind::OnDemand(OnDemand {
            inputs: vec![ColumnType::new("scheduled", MICROS), ColumnType::new("distance", DataType::Float64)],
            features: vec![
                OnDemandFeature {
                    name: "hour".to_owned(),
                    data_type: DataType::Int32.into(),
                    expression: "date_part('HOUR', scheduled)".to_owned(),
                },
                OnDemandFeature {
                    name: "miles".to_owned(),
                    data_type: DataType::Float64.into(),
                    expression: "distance".to_owned(),
                },
            ],
        }),
    );
    let inputs = RecordBatch::try_from_iter([
        ("distance", ints(&[Some(5), None])),
        ("scheduled", Arc::new(TimestampSecondArray::from(vec![7200, 0])) as ArrayRef),
    ])?;
    let features = view.evaluate(&inputs)?;
    assert_eq!(features.column(0).as_primitive::<arrow::datatypes::Int32Type>().values(), &[2, 0]);
    assert_eq!(view.select(&["miles"])?.evaluate(&inputs)?.num_columns(), 1);
    let message = view.select(&["mile"]).map(|_| ()).expect_err("unknown").to_string();
    assert!(message.contains("did you mean `miles`?"), "{message}");
    Ok(())
}

/// The integer view with an entity of these columns.
fn keyed(entity: &[&str]) -> FeatureView {
    let mut view = integers(None, 100);
    if let Kind::Recorded(recorded) = &mut view.kind {
        recorded.entity = entity.iter().map(|name| (*name).to_owned()).collect();
    }
    view
}

#[test]
fn an_entity_has_one_key_several_or_none() -> Result<()> {
    let rows = integer_rows(&[
        (Some(1), Some(1), Some(1), 7, Some(1.0)),
        (Some(1), Some(2), Some(2), 8, Some(2.0)),
        (Some(2), Some(3), Some(3), 7, Some(3.0)),
        (None, Some(4), Some(4), 8, Some(4.0)),
    ]);
    let latest = |entity: &[&str], keys: &[ArrayRef], count: usize| -> Result<Vec<Option<f64>>> {
        let table = FeatureTable::new(Arc::new(keyed(entity)), vec![rows.clone()])?;
        let found = table.lookup(keys, &ints(&vec![Some(9); count]))?;
        Ok(found.values[0].as_primitive::<Float64Type>().iter().collect())
    };
    let (k, seq) = (ints(&[Some(1), Some(2), None, Some(2)]), ints(&[Some(7), Some(7), Some(8), Some(8)]));
    assert_eq!(latest(&["k"], std::slice::from_ref(&k), 4)?, [Some(2.0), Some(3.0), None, Some(3.0)]);
    assert_eq!(latest(&["k", "seq"], &[Arc::clone(&k), Arc::clone(&seq)], 4)?, [Some(1.0), Some(3.0), None, None]);
    assert_eq!(latest(&["seq", "k"], &[seq, k], 4)?, [Some(1.0), Some(3.0), None, None]);
    assert_eq!(latest(&[], &[], 2)?, [Some(4.0); 2]);
    Ok(())
}

#[test]
fn rows_come_by_key_event_availability_and_ties_and_those_that_never_count_first() -> Result<()> {
    let canonical = [
        (Some(1), None, Some(3), 0, None),
        (Some(1), Some(2), None, 0, None),
        (Some(1), Some(1), Some(9), 5, Some(0.0)),
        (Some(1), Some(2), Some(1), 5, Some(0.0)),
        (Some(1), Some(2), Some(2), 3, Some(9.0)),
        (Some(1), Some(2), Some(2), 4, None),
        (Some(1), Some(2), Some(2), 4, Some(1.0)),
        (Some(2), Some(0), Some(0), 0, Some(1.0)),
    ];
    let mut given: Vec<IntegerRow> = canonical.iter().rev().copied().collect();
    given.insert(3, (None, Some(1), Some(1), 0, None));
    let table = FeatureTable::new(Arc::new(integers(None, 1)), vec![integer_rows(&given)])?;
    assert_eq!(table.rows()?, integer_rows(&canonical));
    let entities: Vec<(String, RecordBatch)> = table.entities()?.collect();
    assert_eq!(
        entities,
        [("[1]".to_owned(), integer_rows(&canonical[..7])), ("[2]".to_owned(), integer_rows(&canonical[7..]))]
    );
    assert!(table.size() > table.rows()?.get_array_memory_size());
    Ok(())
}

#[test]
fn a_window_reaches_from_its_length_before_t_to_t_both_inclusive_and_an_empty_one_counts_zero() -> Result<()> {
    // (event, known): the second comes late, the third is never known.
    let rows = integer_rows(&[
        (Some(1), Some(10), Some(10), 0, Some(4.0)),
        (Some(1), Some(12), Some(16), 0, Some(2.0)),
        (Some(1), Some(13), None, 0, Some(1.0)),
    ]);
    let table = FeatureTable::new(Arc::new(integers(Some(0), 5)), vec![rows])?;
    let times: Vec<i64> = vec![9, 10, 15, 16, 17, 18];
    let found = table.lookup(&[ints(&[Some(1); 6])], &ints(&times.into_iter().map(Some).collect::<Vec<_>>()))?;
    let n: Vec<_> = found.values[1].as_primitive::<Int64Type>().iter().flatten().collect();
    assert_eq!(n, [0, 1, 1, 1, 1, 0]);
    let low: Vec<_> = found.values[2].as_primitive::<Float64Type>().iter().collect();
    assert_eq!(low, [None, Some(4.0), Some(4.0), Some(2.0), Some(2.0), None]);
    Ok(())
}

#[test]
fn a_long_history_slides_as_it_is_replayed() -> Result<()> {
    let mut state = 11_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let rows: Vec<MixedRow> = (0..900)
        .map(|_| {
            let event = next(2_000) as i64;
            let x = next(500) as f64 / 10.0 - 20.0;
            (next(2) as i64, Some(event), Some(event + next(300) as i64), Some(next(9) as i64), Some(x), None)
        })
        .collect();
    let spine: Vec<(i64, i64)> = (0..300).map(|_| (next(3) as i64, next(2_400) as i64)).collect();
    let keys = [ints(&spine.iter().map(|probe| Some(probe.0)).collect::<Vec<_>>())];
    let times = ints(&spine.iter().map(|probe| Some(probe.1)).collect::<Vec<_>>());
    for (range, available) in [(700, true), (700, false), (5, true), (60, false)] {
        let view = kernels(Span::Integer(range), available);
        let names = ["median(x) None false", "min(x) None false", "stddev(x) None false", "first_value(n) None false"];
        let view = Arc::new(view.select(&names)?);
        let table = FeatureTable::new(Arc::clone(&view), vec![mixed_rows(&view, &rows)])?;
        assert_eq!(table.lookup(&keys, &times)?.values, table.replayed(&keys, &times)?, "{range} {available}");
    }
    Ok(())
}

fn random_rows() -> impl Strategy<Value = Vec<IntegerRow>> {
    let time = || prop_oneof![1 => Just(None), 9 => (0_i64..15).prop_map(Some)];
    prop::collection::vec((prop::option::of(0_i64..3), time(), time(), 0_i64..3, prop::option::of(-4_i64..4)), 0..30)
        .prop_map(|rows| rows.into_iter().map(|(k, e, a, s, x)| (k, e, a, s, x.map(|x| x as f64))).collect())
}

/// Rows of (key, event, known, number, float, text); a number is taken as integer, decimal and duration too.
type MixedRow = (i64, Option<i64>, Option<i64>, Option<i64>, Option<f64>, Option<String>);

/// Every function that a kernel computes, over every type that it takes, with and without FILTER; and some that only
/// the generic path computes.
fn kernels(range: Span, available: bool) -> FeatureView {
    let decimal = DataType::Decimal128(12, 2);
    let duration = DataType::Duration(TimeUnit::Millisecond);
    let small = DataType::Decimal32(5, 1);
    let calls: Vec<(&str, &str, DataType)> = vec![
        ("count", "1", DataType::Int64),
        ("count", "x", DataType::Int64),
        ("count", "s", DataType::Int64),
        ("sum", "n", DataType::Int64),
        ("sum", "CAST(abs(n) AS BIGINT UNSIGNED)", DataType::UInt64),
        ("sum", "x", DataType::Float64),
        ("sum", "d", DataType::Decimal128(22, 2)),
        ("sum", "e", DataType::Decimal32(9, 1)),
        ("sum", "u", duration.clone()),
        ("avg", "x", DataType::Float64),
        ("avg", "d", DataType::Decimal128(16, 6)),
        ("avg", "u", duration.clone()),
        ("var", "x", DataType::Float64),
        ("var_pop", "x", DataType::Float64),
        ("stddev", "x", DataType::Float64),
        ("stddev_pop", "x", DataType::Float64),
        ("median", "x", DataType::Float64),
        ("median", "CAST(n AS DOUBLE)", DataType::Float64),
        ("median", "d", decimal.clone()),
        ("median", "e", small.clone()),
        ("approx_distinct", "n", DataType::UInt64),
        ("array_agg", "n", DataType::new_list(DataType::Int64, true)),
    ];
    let any = [
        ("x", DataType::Float64),
        ("n", DataType::Int64),
        ("d", decimal.clone()),
        ("u", duration.clone()),
        ("s", DataType::Utf8View),
        ("n > 1", DataType::Boolean),
        ("CAST(x AS REAL)", DataType::Float32),
        ("arrow_cast(s, 'Utf8')", DataType::Utf8),
    ];
    let of_any = ["min", "max", "first_value", "last_value"]
        .into_iter()
        .flat_map(|function| any.iter().map(move |(arg, data_type)| (function, *arg, data_type.clone())));
    let mut features = Vec::new();
    for (function, arg, data_type) in calls.into_iter().chain(of_any) {
        let ends = function == "first_value" || function == "last_value";
        let filters = [None, Some("(n % 2) = 0"), Some("x > 0.0")];
        for (filter, ignore_nulls) in filters.into_iter().flat_map(|filter| [(filter, false), (filter, true)]) {
            if ignore_nulls && !ends {
                continue;
            }
            let value = Window {
                function: function.to_owned(),
                args: vec![arg.to_owned()],
                distinct: false,
                ignore_nulls,
                filter: filter.map(str::to_owned),
                range,
            };
            let name = format!("{function}({arg}) {filter:?} {ignore_nulls}");
            features.push(feature(&name, data_type.clone(), FeatureValue::Window(value)));
        }
    }
    for (function, data_type) in [("count", DataType::Int64), ("sum", DataType::Int64), ("min", DataType::Int64)] {
        let FeatureValue::Window(mut distinct) = window(function, "n", range) else { continue };
        distinct.distinct = true;
        features.push(feature(&format!("{function}(DISTINCT n)"), data_type, FeatureValue::Window(distinct)));
    }
    let columns = [
        ("k", DataType::Int64),
        ("event", DataType::Int64),
        ("known", DataType::Int64),
        ("n", DataType::Int64),
        ("x", DataType::Float64),
        ("s", DataType::Utf8View),
        ("d", decimal),
        ("e", small),
        ("u", duration),
    ];
    FeatureView::new(
        "v",
        "CREATE FEATURE VIEW v …",
        Kind::Recorded(Recorded {
            entity: vec!["k".to_owned()],
            timestamp: "event".to_owned(),
            available_at: available.then(|| "known".to_owned()),
            ttl: None,
            tie_break: Vec::new(),
            rows: columns.into_iter().map(|(name, data_type)| ColumnType::new(name, data_type)).collect(),
            features,
            push: None,
            materialize_only: None,
        }),
    )
}

fn mixed_rows(view: &FeatureView, rows: &[MixedRow]) -> RecordBatch {
    let number = || rows.iter().map(|row| row.3);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
        Arc::new(number().collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.4).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.5.as_deref()).collect::<arrow::array::StringViewArray>()),
        Arc::new(number().map(|n| n.map(i128::from)).collect::<arrow::array::Decimal128Array>()),
        Arc::new(number().map(|n| n.map(|n| n as i32)).collect::<arrow::array::Decimal32Array>()),
        Arc::new(number().collect::<arrow::array::DurationMillisecondArray>()),
    ];
    let schema = view.rows_schema();
    let columns = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(column, field)| arrow::compute::cast(&retyped(column, field.data_type()), field.data_type()))
        .collect::<Result<_, _>>()
        .expect("types of the view");
    RecordBatch::try_new(schema, columns).expect("the view's schema")
}

/// Decimals of the precision and scale wanted, with the same digits.
fn retyped(column: ArrayRef, to: &DataType) -> ArrayRef {
    match to {
        DataType::Decimal128(..) | DataType::Decimal32(..) => {
            let data = column.to_data().into_builder().data_type(to.clone()).build().expect("the same layout");
            arrow::array::make_array(data)
        }
        _ => column,
    }
}

fn floats() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-3_i64..4).prop_map(|x| x as f64 / 2.0),
        4 => prop_oneof![Just(0.1), Just(-0.0), Just(1e300), Just(-1e300), Just(1e-300), Just(5e-324)],
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
        2 => any::<f64>(),
    ]
}

fn mixed() -> impl Strategy<Value = Vec<MixedRow>> {
    let time = || prop_oneof![1 => Just(None), 12 => (0_i64..15).prop_map(Some)];
    let row = (
        0_i64..2,
        time(),
        time(),
        prop::option::of(-4_i64..5),
        prop::option::of(floats()),
        prop::option::of(prop_oneof![Just(String::new()), "[ab]{1,2}", Just("beyond twelve bytes".to_owned())]),
    );
    (prop::collection::vec(row, 0..40), prop_oneof![9 => Just(false), 1 => Just(true)]).prop_map(|(mut rows, nan)| {
        for row in rows.iter_mut().filter(|_| !nan) {
            row.4 = row.4.filter(|x| !x.is_nan());
        }
        for row in rows.iter_mut().step_by(7).filter(|_| nan) {
            row.4 = Some(f64::NAN);
        }
        rows
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_windows_value_is_one_accumulator_fed_its_rows_in_order(
        rows in mixed(),
        range in prop_oneof![(0_i64..20).prop_map(Span::Integer), Just(Span::Unbounded)],
        available in any::<bool>(),
        spine in prop::collection::vec((prop::option::of(-1_i64..3), prop::option::of(-1_i64..25)), 0..40),
    ) {
        let view = Arc::new(kernels(range, available));
        let batch = mixed_rows(&view, &rows);
        let table = FeatureTable::new(Arc::clone(&view), vec![batch]).expect("rows of the view");
        let keys = [ints(&spine.iter().map(|probe| probe.0).collect::<Vec<_>>())];
        let times = ints(&spine.iter().map(|probe| probe.1).collect::<Vec<_>>());
        let fast = table.lookup(&keys, &times).expect("a look-up").values;
        let replayed = table.replayed(&keys, &times).expect("a look-up");
        for ((field, fast), replayed) in view.feature_fields().iter().zip(&fast).zip(&replayed) {
            prop_assert_eq!(fast.data_type(), field.data_type(), "{}", field.name());
            let bits = |array: &ArrayRef| match array.as_primitive_opt::<Float64Type>() {
                Some(floats) => Arc::new(floats.unary::<_, Int64Type>(|x| x.to_bits() as i64)) as ArrayRef,
                None => Arc::clone(array),
            };
            prop_assert_eq!(&bits(fast), &bits(replayed), "{}", field.name());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_entitys_rows_stored_in_pushes_and_read_by_chunks_answer_as_the_whole_table(
        rows in random_rows(),
        ttl in prop::option::of(0_i64..10),
        range in prop_oneof![(0_i64..20).prop_map(Some), Just(None)],
        cuts in prop::collection::vec(0_usize..30, 0..4),
        size in 1_usize..6,
    ) {
        let mut view = integers(ttl, range.unwrap_or_default());
        if let Kind::Recorded(recorded) = &mut view.kind {
            // The last window is unbounded, so it reads everything: without it, or without any, only a part is read.
            recorded.features.truncate(if range.is_some() { 4 } else { 1 });
            if cuts.is_empty() {
                recorded.features.push(feature("all", DataType::Int64, window("count", "1", Span::Unbounded)));
            }
        }
        let view = Arc::new(view);
        let table = |rows| FeatureTable::new(Arc::clone(&view), rows).expect("rows of the view");
        let whole = table(vec![integer_rows(&rows)]);
        let mut store: std::collections::BTreeMap<String, Vec<u8>> = std::collections::BTreeMap::new();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        for push in cuts.windows(2) {
            for (key, new) in table(vec![integer_rows(&rows[push[0]..push[1]])]).entities().expect("entities") {
                let Some(head) = store.get(&key).map(|bytes| chunk::Head::decode(bytes).expect("a head")) else {
                    store.extend(chunk::store_in(&view, &key, &new, size).expect("chunks"));
                    continue;
                };
                let placed = head.place(&view, &new).expect("places").into_iter().map(|placed| {
                    let had = match placed.chunk(&key) {
                        None => head.rows().clone(),
                        Some(key) => chunk::decode(&store[&key]).expect("a chunk"),
                    };
                    (placed, had)
                });
                let change = head.with_in(&view, &key, placed.collect(), size).expect("a change");
                store.extend(change.set);
                for key in change.delete {
                    prop_assert!(store.remove(&key).is_some(), "{} was not there", key);
                }
            }
        }
        let stored: usize = store.values().map(|bytes| chunk::decode(bytes).expect("rows").num_rows()).sum();
        prop_assert_eq!(stored, rows.iter().filter(|row| row.0.is_some()).count());
        for key in 0..4_i64 {
            let keys = ints(&[Some(key)]);
            let name = entity_key(std::slice::from_ref(&keys), 0).expect("a key");
            let head = store.get(&name).map(|bytes| chunk::Head::decode(bytes).expect("a head"));
            for t in -1..17 {
                let times = ints(&[Some(t)]);
                let mut read: Vec<RecordBatch> = head.iter().map(|head| head.rows().clone()).collect();
                let needed = head.iter().flat_map(|head| head.needed(&view, &name, &times).expect("chunks"));
                read.extend(needed.map(|key| chunk::decode(&store[&key]).expect("a chunk")));
                let offline = whole.lookup(std::slice::from_ref(&keys), &times).expect("a look-up");
                let online = table(read).lookup(std::slice::from_ref(&keys), &times).expect("a look-up");
                prop_assert_eq!(&online.status, &offline.status);
                prop_assert_eq!(online.event_time.to_data(), offline.event_time.to_data());
                prop_assert_eq!(online.available_at.to_data(), offline.available_at.to_data());
                for (online, offline) in online.values.iter().zip(&offline.values) {
                    prop_assert_eq!(online.to_data(), offline.to_data());
                }
            }
        }
    }

    #[test]
    fn the_table_equals_the_rule_in_any_input_order(
        rows in random_rows(),
        ttl in prop::option::of(0_i64..10),
        range in 0_i64..20,
        cut in 0_usize..30,
        rotate in 0_usize..30,
    ) {
        let mut shuffled = rows.clone();
        if !shuffled.is_empty() {
            let by = rotate % shuffled.len();
            shuffled.rotate_left(by);
        }
        let (head, tail) = shuffled.split_at(cut.min(shuffled.len()));
        let view = Arc::new(integers(ttl, range));
        let table = FeatureTable::new(Arc::clone(&view), vec![integer_rows(head), integer_rows(tail)]).expect("rows of the view");
        let sorted = FeatureTable::new(view, vec![integer_rows(&rows)]).expect("rows of the view");
        prop_assert_eq!(table.rows().expect("rows"), sorted.rows().expect("rows"));
        // Key 5 stands for NULL, between keys that see the same window.
        let spine: Vec<(i64, i64)> = (-1..17).flat_map(|t| [0, 5, 0, 1, 2, 3].map(|key| (key, t))).collect();
        let keys = ints(&spine.iter().map(|s| Some(s.0).filter(|key| *key != 5)).collect::<Vec<_>>());
        let times = ints(&spine.iter().map(|s| Some(s.1)).collect::<Vec<_>>());
        let found = table.lookup(&[keys], &times).expect("a look-up");
        for (at, (key, t)) in spine.into_iter().enumerate() {
            if key == 5 {
                prop_assert_eq!(found.status[at], Status::NullKey);
                prop_assert!(found.values.iter().all(|values| values.is_null(at)));
                continue;
            }
            // The oracle ranks ties by (tie-break, remaining columns in order: x, NULL least).
            let mut own: Vec<&IntegerRow> = rows.iter().filter(|row| row.0 == Some(key)).collect();
            own.sort_by(|a, b| (a.3, a.4.map_or(f64::NEG_INFINITY, |x| x)).partial_cmp(&(b.3, b.4.map_or(f64::NEG_INFINITY, |x| x))).expect("no NaN"));
            let times: Vec<pit::Row> = own
                .iter()
                .enumerate()
                .map(|(tie, row)| pit::Row { event: row.1, available: row.2, tie: tie as u32 })
                .collect();
            let (status, winner) = pit::as_of(&times, t, ttl);
            prop_assert_eq!(found.status[at], status);
            let x = winner.filter(|_| status == Status::Ok).and_then(|i| own[i].4);
            let got = |i: usize| { let a = &found.values[i]; a.is_valid(at).then(|| a.slice(at, 1)) };
            prop_assert_eq!(got(0).map(|a| a.as_primitive::<Float64Type>().value(0)), x);
            let inside = pit::window(&times, t, t - range);
            let values: Vec<f64> = inside.iter().filter_map(|&i| own[i].4).collect();
            prop_assert_eq!(got(1).map(|a| a.as_primitive::<Int64Type>().value(0)), Some(values.len() as i64));
            let low = values.iter().copied().reduce(f64::min);
            prop_assert_eq!(got(2).map(|a| a.as_primitive::<Float64Type>().value(0)), low);
            let first = inside.first().and_then(|&i| own[i].4);
            prop_assert_eq!(got(3).map(|a| a.as_primitive::<Float64Type>().value(0)), first);
            let all = pit::window(&times, t, i64::MIN).len() as i64;
            prop_assert_eq!(got(4).map(|a| a.as_primitive::<Int64Type>().value(0)), Some(all));
        }
    }
}

#[test]
fn a_look_up_of_a_long_history_reads_a_chunk_or_two() -> Result<()> {
    let mut view = integers(None, 5);
    if let Kind::Recorded(recorded) = &mut view.kind {
        recorded.features.truncate(4);
    }
    let view = Arc::new(view);
    let rows: Vec<IntegerRow> = (0..1_000).map(|i| (Some(1), Some(i), Some(i + 3), 0, Some(i as f64))).collect();
    let stored: std::collections::BTreeMap<_, _> =
        chunk::store_in(&view, "[1]", &integer_rows(&rows), 10)?.into_iter().collect();
    assert_eq!(stored.len(), 100);
    let head = chunk::Head::decode(&stored["[1]"])?;
    assert_eq!(head.needed(&view, "[1]", &ints(&[Some(2_000), None]))?, [""; 0]);
    assert_eq!(head.needed(&view, "[1]", &ints(&[Some(-1)]))?, [""; 0]);
    assert_eq!(head.needed(&view, "[1]", &ints(&[Some(109)]))?, ["[1]#10"]);
    assert_eq!(head.needed(&view, "[1]", &ints(&[Some(102)]))?, ["[1]#9", "[1]#10"]);
    assert_eq!(head.needed(&view, "[1]", &ints(&[Some(502), Some(7)]))?, ["[1]#0", "[1]#49", "[1]#50"]);
    Ok(())
}

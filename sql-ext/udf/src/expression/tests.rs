use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, TimeUnit};
use proptest::prelude::*;

use super::*;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("a", DataType::Float64, true),
        Field::new("b", DataType::Float64, true),
        Field::new("i", DataType::Int64, true),
        Field::new("n", DataType::Int32, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("v", DataType::Utf8View, true),
        Field::new("Odd Name", DataType::Boolean, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("d", DataType::Date32, true),
        Field::new("f", DataType::Float32, true),
        Field::new("st", DataType::Struct(vec![Field::new("x", DataType::Int64, true)].into()), true),
    ])
}

fn canonical_of(sql: &str) -> Result<Canonical> {
    canonicalize(&parse(sql)?, &DFSchema::try_from(schema())?)
}

#[track_caller]
fn text(sql: &str) -> String {
    match canonical_of(sql) {
        Ok(canonical) => canonical.sql,
        Err(e) => panic!("{sql}: {e}"),
    }
}

#[track_caller]
fn refusal(sql: &str) -> String {
    match canonical_of(sql) {
        Ok(canonical) => panic!("{sql} was accepted as {}", canonical.sql),
        Err(e) => e.strip_backtrace(),
    }
}

#[test]
fn the_canonical_text_is_a_fixed_point() {
    for sql in [
        "a",
        "A + 1",
        "a + i",
        "a * 2.5 - b / 3",
        "-a",
        "- (-5)",
        "i % 7 = 0",
        "NOT (a > 1 OR b < 2) AND \"Odd Name\"",
        "a IS NULL",
        "(a > 1) IS NOT TRUE",
        "a IS NOT DISTINCT FROM b",
        "CASE WHEN a > 1 THEN ln(a) * b + power(a, 2) ELSE coalesce(a, 0) END",
        "CASE i WHEN 1 THEN 'one' WHEN 2 THEN 'it''s \"two\"' END",
        "CAST(a AS BIGINT)",
        "CAST(i AS VARCHAR)",
        "TRY_CAST(s AS DOUBLE)",
        "a::real",
        "i IN (1, 2, 3, 4, 5)",
        "s IN ('x', 'y')",
        "v NOT IN ('x', 'y', 'z', 'w')",
        "a NOT BETWEEN 1 AND 2",
        "s LIKE 'a%' AND s NOT LIKE '%\\_b'",
        "s ILIKE 'A%'",
        "v || '-' || s",
        "s ~ '^[a-z]+$'",
        "date_part('hour', ts)",
        "extract(dow from ts)",
        "date_trunc('day', ts)",
        "date_bin(INTERVAL '15 minutes', ts)",
        "ts + INTERVAL '1 day 2 hours'",
        "ts > TIMESTAMP '2023-01-02T03:04:05.678901'",
        "ts >= '2023-01-02'",
        "ts - INTERVAL '1 month'",
        "d = DATE '2023-01-02'",
        "d + INTERVAL '3 days'",
        "to_timestamp(i)",
        "to_char(ts, '%Y-%m')",
        "to_local_time(ts AT TIME ZONE 'America/Los_Angeles')",
        "date_part('hour', ts AT TIME ZONE 'America/Los_Angeles')",
        "arrow_cast(ts, 'Timestamp(ms)')",
        "arrow_cast(ts, 'Timestamp(Second, None)')",
        "make_date(2020, 1, 1)",
        "1e300",
        "1e-300 * a",
        "a = 0.1",
        "a = 1e23",
        "i = -9223372036854775808",
        "f > 0.1",
        "f * 2",
        "n + 1",
        "n + i",
        "i = 18446744073709551615",
        "a = CAST('NaN' AS DOUBLE) OR a = CAST('-Infinity' AS DOUBLE)",
        "st['x'] + 1",
        "st.x",
        "get_field(st, 'x')",
        "substring(s from 2 for 3)",
        "substr(s, 2)",
        "left(s, 2)",
        "position('a' in s)",
        "trim(both 'x' from s)",
        "upper(s) || lower(v)",
        "regexp_replace(s, 'a(b)', '$1')",
        "nullif(a, 0)",
        "nvl(a, b)",
        "greatest(a, b, 1)",
        "round(a, 2)",
        "floor(a) + ceil(b)",
        "power(b, log(b, a))",
        "abs(a) + sqrt(b)",
        "exp(1)",
        "ln(a)",
        "atan2(a, b)",
        "NULL",
        "CAST(NULL AS BIGINT)",
        "encode(s, 'hex')",
        "i & 3 | 4",
        "i << 2 >> 1",
        "concat(s, v, 'x')",
        "replace(s, '''', '\"')",
        "TIMESTAMP '2023-01-02T03:04:05.123456789'",
        "INTERVAL '1 month 2 days 3.000000004 seconds'",
        "true",
        "[1, 2, 3]",
        "'a' = 'a'",
    ] {
        let once = canonical_of(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let twice = canonical_of(&once.sql).unwrap_or_else(|e| panic!("{sql} -> {}: {e}", once.sql));
        assert_eq!(once, twice, "{sql}");
    }
}

#[test]
fn literals_keep_their_type_and_value() {
    assert_eq!(text("a + 1"), "(a + 1.0)");
    assert_eq!(text("ts > '2023-01-02'"), "(ts > arrow_cast('2023-01-02T00:00:00', 'Timestamp(µs)'))");
    assert_eq!(text("a = 1e23"), "(a = 1e23)");
    assert_eq!(text("\"Odd Name\" AND \"Odd Name\""), "\"Odd Name\"");
    assert_eq!(text("s = 'it''s'"), "(s = 'it''s')");
}

#[test]
fn a_power_of_a_logarithm_is_not_rewritten_away() {
    // DataFusion's own `power` simplifies this to `a`, which is not what it evaluates to.
    let sql = text("power(b, log(b, a))");
    assert!(sql.contains("power") && sql.contains("log"), "{sql}");
}

#[test]
fn what_is_not_a_function_of_its_columns_is_refused_with_the_remedy() {
    assert!(refusal("now() - ts").contains("as-of time"), "{}", refusal("now() - ts"));
    assert!(refusal("current_date").contains("as-of time"));
    assert!(refusal("random() * a").contains("hash_bucket"));
    assert!(refusal("uuid()").contains("different value each time"));
    assert!(refusal("(SELECT 1)").contains("subquery"), "{}", refusal("(SELECT 1)"));
    assert!(refusal("sum(a)").contains("aggregate") || refusal("sum(a)").contains("scalar"), "{}", refusal("sum(a)"));
    assert!(refusal("$1 + a").contains("parameter"), "{}", refusal("$1 + a"));
}

#[test]
fn unknown_names_are_named_with_the_nearest_known_one() {
    let message = refusal("date_prt('hour', ts)");
    assert!(message.contains("date_prt") && message.contains("did you mean `date_part`?"), "{message}");
    let message = refusal("tss + 1");
    assert!(message.contains("unknown column `tss`") && message.contains("did you mean `ts`?"), "{message}");
}

#[test]
fn qualifiers_are_dropped_and_columns_listed() -> Result<()> {
    let qualified = DFSchema::try_from_qualified_schema("flights", &schema())?;
    let canonical = canonicalize(&parse("flights.b + FLIGHTS.a")?, &qualified)?;
    assert_eq!(canonical.sql, "(b + a)");
    assert_eq!(canonical.columns, ["a", "b"]);
    assert_eq!(canonical.data_type, DataType::Float64);
    Ok(())
}

#[test]
fn an_aggregate_call_is_taken_apart() -> Result<()> {
    let ast::Expr::Function(call) = parse("avg(i) FILTER (WHERE a > 1)")? else { panic!("not a call") };
    let aggregate = canonicalize_aggregate(&call, &DFSchema::try_from(schema())?)?;
    assert_eq!(aggregate.function, "avg");
    assert_eq!(aggregate.args.len(), 1);
    assert_eq!(aggregate.data_type, DataType::Float64);
    assert_eq!(aggregate.filter.map(|filter| filter.sql).as_deref(), Some("(a > 1.0)"));
    Ok(())
}

#[test]
fn a_long_chain_does_not_nest() -> Result<()> {
    let sum = (0..150).map(|i| format!("a * {i}.5")).collect::<Vec<_>>().join(" + ");
    let or = (0..150).map(|i| format!("(i = {i} AND s = 'x{i}' AND a > {i}.5)")).collect::<Vec<_>>().join(" OR ");
    for sql in [sum, or] {
        let once = canonical_of(&sql)?;
        assert_eq!(canonical_of(&once.sql)?, once);
        assert!(!once.sql.contains("(((("), "{}", once.sql);
    }
    Ok(())
}

#[test]
fn trailing_text_is_refused() {
    assert!(parse("a b c").is_err());
    assert!(parse("").is_err());
}

fn batch(a: Vec<Option<f64>>, i: Vec<Option<i64>>, s: Vec<Option<String>>, ts: Vec<Option<i64>>) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("a", DataType::Float64, true),
        Field::new("i", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(a)),
        Arc::new(Int64Array::from(i)),
        Arc::new(StringArray::from(s)),
        Arc::new(TimestampMicrosecondArray::from(ts)),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).expect("columns of one length")
}

fn expression() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("a".to_owned()),
        Just("i".to_owned()),
        Just("date_part('day', ts)".to_owned()),
        (-5_i64..100).prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(|v| format!("{v:?}")),
    ];
    number.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec!["+", "-", "*"]), inner.clone())
                .prop_map(|(l, op, r)| format!("({l} {op} {r})")),
            (inner.clone(), inner.clone(), inner.clone(), prop::sample::select(vec!["<", ">=", "=", "<>"]))
                .prop_map(|(c, x, y, op)| format!("CASE WHEN {c} {op} {x} THEN {x} ELSE {y} END")),
            (inner.clone(), inner.clone()).prop_map(|(x, y)| format!("coalesce({x}, {y})")),
            inner.clone().prop_map(|x| format!("abs({x})")),
            inner.clone().prop_map(|x| format!("exp({x} / 1e3)")),
            (inner.clone(), inner.clone()).prop_map(|(x, y)| format!("nullif({x}, {y})")),
            inner.clone().prop_map(|x| format!("CAST({x} AS DOUBLE)")),
            (inner.clone(), inner).prop_map(|(x, y)| format!("CASE WHEN {x} IN (1, {y}, 3) OR s LIKE 'a%' THEN 1 END")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn canonical_and_coerced_expressions_give_the_same_values(
        sql in expression(),
        rows in prop::collection::vec(
            (prop::option::of(-10.0_f64..10.0), prop::option::of(-5_i64..5), prop::option::of("[ab]{0,2}"),
             prop::option::of(0_i64..10_000_000_000_000)), 1..5),
    ) {
        let input = batch(
            rows.iter().map(|r| r.0).collect(),
            rows.iter().map(|r| r.1).collect(),
            rows.iter().map(|r| r.2.clone()).collect(),
            rows.iter().map(|r| r.3).collect(),
        );
        let df = DFSchema::try_from(input.schema().as_ref().clone()).expect("a schema");
        // An expression that can only fail (an overflow of constants, say) may be refused; that is not what is tested.
        if let Ok(canonical) = canonicalize(&parse(&sql).expect("generated SQL"), &df) {
            let again = canonicalize(&parse(&canonical.sql).expect("canonical SQL"), &df).expect("canonical SQL");
            prop_assert_eq!(&again, &canonical);
            let compiled = compile(&canonical.sql, &input.schema()).expect("canonical SQL");
            // Row by row and all at once must agree: the online store evaluates single rows.
            if let Ok(all) = evaluate(&compiled, &input) {
                for row in 0..input.num_rows() {
                    let one = evaluate(&compiled, &input.slice(row, 1)).expect("one of the rows");
                    prop_assert_eq!(&all.slice(row, 1).to_data(), &one.to_data());
                }
                if let Some(values) = all.as_primitive_opt::<Float64Type>() {
                    prop_assert_eq!(values.len(), input.num_rows());
                }
            }
        }
    }
}

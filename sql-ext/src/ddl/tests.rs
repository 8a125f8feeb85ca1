use arrow::array::{Array, AsArray, RecordBatch};
use skewless_udf::view::{FeatureValue, FeatureView, Kind, Span};

use crate::{Options, Outcome, SkewlessContext};

const TABLE: &str = "CREATE TABLE flights AS SELECT * FROM (VALUES
    ('N1', TIMESTAMP '2023-01-01T10:00:00', TIMESTAMP '2023-01-01T12:00:00', 1, 5.0, 'AA'),
    ('N2', TIMESTAMP '2023-01-01T11:00:00', NULL, 2, NULL, 'BB')
) AS t(tailnum, departed, landed, flight, delay, carrier)";

const HEAD: &str = "CREATE FEATURE VIEW v ENTITY (tailnum) TIMESTAMP (departed)";

async fn context() -> SkewlessContext {
    let context = SkewlessContext::new(Options::default()).await.expect("a session");
    context.sql(TABLE).await.expect("a table");
    context
}

async fn run(context: &SkewlessContext, sql: &str) -> Result<String, String> {
    match context.sql(sql).await.map_err(|error| error.to_string())?.pop() {
        Some(Outcome::Done(message)) => Ok(message),
        Some(Outcome::Rows(_)) => Ok("rows".to_owned()),
        None => Ok(String::new()),
    }
}

#[track_caller]
fn contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

async fn refusal(sql: &str) -> String {
    let context = context().await;
    match run(&context, sql).await {
        Ok(message) => panic!("{sql} was accepted: {message}"),
        Err(message) => message,
    }
}

async fn definition(sql: &str) -> FeatureView {
    let context = context().await;
    run(&context, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let names = context.views().names();
    let view = context.views().get(&names[0]).expect("the view");
    view.definition.as_ref().clone()
}

async fn show(context: &SkewlessContext, sql: &str) -> RecordBatch {
    match context.sql(sql).await.expect("rows").pop() {
        Some(Outcome::Rows(rows)) => rows.collect().await.expect("rows").remove(0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn keys_times_and_tie_breaks_are_not_features() {
    let view = definition(
        "CREATE FEATURE VIEW V ENTITY (tailnum) TIMESTAMP (departed) AVAILABLE AT (landed) TTL INTERVAL '18 hours' \
         TIE BREAK (flight) AS SELECT tailnum, departed, landed, flight, delay AS Last_Delay, \
         avg(delay) OVER (RANGE INTERVAL '24 hours' PRECEDING) AS avg_delay_24h FROM flights WHERE delay IS NOT NULL",
    )
    .await;
    assert_eq!(view.name, "v");
    let names: Vec<_> = view.feature_fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["last_delay", "avg_delay_24h"]);
    let Kind::Recorded(recorded) = &view.kind else { panic!("a recorded view") };
    assert_eq!(recorded.ttl, Some(Span::Time(18 * 3_600_000_000_000)));
    let push = recorded.push.as_ref().expect("scan, filter and projection can be pushed");
    assert_eq!(push.filter.as_deref(), Some("(\"delay\" IS NOT NULL)"));
    assert_eq!(push.columns, ["tailnum", "departed", "landed", "flight", "\"delay\""]);
    let source: Vec<_> = push.source.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(source, ["tailnum", "departed", "landed", "flight", "delay"]);
    let FeatureValue::Window(window) = &recorded.features[1].value else { panic!("a window") };
    // The window's argument is a column that is there already.
    assert_eq!((window.function.as_str(), window.args.as_slice()), ("avg", &["last_delay".to_owned()][..]));
    assert_eq!(FeatureView::from_json(&view.to_json().expect("JSON")).expect("a view"), view);
}

#[tokio::test]
async fn window_arguments_become_hidden_columns_of_the_rows() {
    let view = definition(&format!(
        "{HEAD} AS SELECT tailnum, departed, count(*) OVER (RANGE UNBOUNDED PRECEDING) AS n, \
         sum(delay * 2) FILTER (WHERE carrier = 'AA') OVER (RANGE INTERVAL '1 day' PRECEDING) AS s FROM flights"
    ))
    .await;
    let Kind::Recorded(recorded) = &view.kind else { panic!("a recorded view") };
    let rows: Vec<_> = recorded.rows.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(rows, ["tailnum", "departed", "s#0", "s#filter"]);
    let FeatureValue::Window(all) = &recorded.features[0].value else { panic!("a window") };
    assert_eq!(all.range, Span::Unbounded);
    let FeatureValue::Window(sum) = &recorded.features[1].value else { panic!("a window") };
    assert_eq!((sum.args[0].as_str(), sum.filter.as_deref()), ("\"s#0\"", Some("\"s#filter\"")));
}

#[tokio::test]
async fn a_body_with_more_than_scan_filter_and_projection_can_only_be_materialized() {
    for (body, reason) in [
        ("SELECT tailnum, departed, delay FROM flights JOIN (SELECT 1 AS one) x ON flight = one", "join"),
        ("SELECT tailnum, max(departed) AS departed, sum(delay) AS s FROM flights GROUP BY tailnum", "GROUP BY"),
        ("WITH f AS (SELECT * FROM flights) SELECT tailnum, departed, delay FROM f", "WITH"),
        (
            "SELECT tailnum, departed, delay FROM flights UNION ALL SELECT tailnum, departed, delay FROM flights",
            "several",
        ),
        ("SELECT tailnum, departed, array_length([delay, 1.0]) AS l FROM flights", "array_length"),
        ("SELECT tailnum, departed, delay, row_number() OVER (ORDER BY departed) AS r FROM flights", "window"),
        (
            "SELECT f.tailnum, f.departed, g.delay FROM flights f ASOF JOIN flights g \
             MATCH_CONDITION (f.departed >= g.departed) ON f.tailnum = g.tailnum",
            "join",
        ),
    ] {
        let view = definition(&format!("{HEAD} AS {body}")).await;
        let Kind::Recorded(recorded) = &view.kind else { panic!("a recorded view") };
        assert!(recorded.push.is_none(), "{body}");
        contains(recorded.materialize_only.as_deref().unwrap_or_default(), &[reason]);
    }
}

#[tokio::test]
async fn a_star_selects_every_column() {
    let view = definition(&format!("{HEAD} TIE BREAK (flight) AS SELECT * FROM flights AS f")).await;
    let names: Vec<_> = view.feature_fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["landed", "delay", "carrier"]);
    assert!(view.recorded().is_some_and(|recorded| recorded.push.is_some()));
}

#[tokio::test]
async fn a_view_on_demand_computes_from_its_inputs() {
    let view = definition(
        "CREATE FEATURE VIEW clock ON DEMAND (scheduled TIMESTAMP, distance DOUBLE) AS \
         SELECT date_part('hour', scheduled) AS hour, distance",
    )
    .await;
    let Kind::OnDemand(on_demand) = &view.kind else { panic!("on demand") };
    assert_eq!(on_demand.features[1].expression, "distance");
    assert_eq!(view.input_fields().len(), 2);
}

#[tokio::test]
async fn mistakes_are_named_with_the_remedy() {
    let body = "AS SELECT tailnum, departed, delay FROM flights";
    let cases: Vec<(String, &[&str])> = vec![
        ("CREATE FEATURE VIEW v TIMESTAMP (departed) AS SELECT 1".into(), &["ENTITY", "NO ENTITY", "ON DEMAND"]),
        ("CREATE FEATURE VIEW v ENTITY (a) AS SELECT 1".into(), &["TIMESTAMP (column)", "found `AS`"]),
        ("CREATE FEATURE VIEW v ENTITY a".into(), &["`(`", "found `a`"]),
        (format!("{HEAD} ENTITY (tailnum) {body}"), &["ENTITY is given twice"]),
        (format!("{HEAD} TTL INTERVAL '1 month' {body}"), &["month", "days"]),
        (format!("{HEAD} TTL 5 {body}"), &["TTL is a number", "INTERVAL"]),
        (format!("{HEAD} WITHIN 5 {body}"), &["AVAILABLE AT", "found `WITHIN`"]),
        ("CREATE FEATURE VIEW v ENTITY (tailnm) TIMESTAMP (departed) AS SELECT tailnum, departed, delay FROM flights".into(),
         &["ENTITY names the column `tailnm`", "did you mean `tailnum`?"]),
        ("CREATE FEATURE VIEW v ENTITY (tailnum) TIMESTAMP (delay) AS SELECT tailnum, departed, delay FROM flights".into(),
         &["`delay` is of type Float64", "cast"]),
        (format!("{HEAD} AVAILABLE AT (flight) AS SELECT tailnum, departed, flight, delay FROM flights"),
         &["an integer", "a timestamp or date"]),
        (format!("{HEAD} AS SELECT tailnum, departed FROM flights"), &["no features"]),
        (format!("{HEAD} AS SELECT tailnum, departed, dely FROM flights"), &["unknown column `dely`", "did you mean `delay`?"]),
        (format!("{HEAD} AS SELECT tailnum, departed, lnn(delay) AS x FROM flights"), &["unknown function `lnn`", "did you mean"]),
        (format!("{HEAD} AS SELECT tailnum, departed, delay FROM flight"), &["flight"]),
        (format!("{HEAD} AS SELECT tailnum, departed, now() AS x FROM flights"), &["now", "as-of time"]),
        (format!("{HEAD} AS SELECT tailnum, departed, random() AS x FROM flights JOIN (SELECT 1) ON true"), &["random"]),
        (
            format!("CREATE VIEW live AS SELECT *, now() AS asked FROM flights; {HEAD} AS SELECT tailnum, departed, delay FROM live"),
            &["now", "as-of time"],
        ),
        (format!("{HEAD} AS SELECT tailnum, departed, delay, delay FROM flights"), &["two columns named `delay`"]),
        (format!("{HEAD} AS SELECT tailnum, departed, delay + 1 FROM flights"), &["give the column a name"]),
        (format!("{HEAD} AS SELECT tailnum, departed, sum(delay) OVER (RANGE INTERVAL '1 day' PRECEDING) FROM flights"),
         &["give the window aggregate a name"]),
        (format!("{HEAD} AS SELECT tailnum, departed, 1 + sum(delay) OVER (RANGE INTERVAL '1 day' PRECEDING) AS x FROM flights"),
         &["must be a column of its own", "ON DEMAND"]),
        (format!("{HEAD} AS SELECT tailnum, departed, sum(delay) OVER (RANGE 5 PRECEDING) AS x FROM flights"),
         &["the window of `x` is a number"]),
        (format!("{HEAD} AS SELECT tailnum, departed, sum(delay) OVER (RANGE BETWEEN INTERVAL '1 day' PRECEDING AND INTERVAL '1 day' FOLLOWING) AS x FROM flights"),
         &["ends at the as-of time"]),
        (format!("{HEAD} AS SELECT tailnum, departed, sum(delay) OVER (PARTITION BY carrier RANGE INTERVAL '1 day' PRECEDING) AS x FROM flights"),
         &["PARTITION BY"]),
        (format!("{HEAD} AS SELECT tailnum, departed, abs(delay) OVER (RANGE INTERVAL '1 day' PRECEDING) AS x FROM flights"),
         &["not an aggregate"]),
        (format!("{HEAD} AS SELECT tailnum, departed, summ(delay) OVER (RANGE INTERVAL '1 day' PRECEDING) AS x FROM flights"),
         &["unknown function `summ`", "did you mean `sum`?"]),
        ("CREATE FEATURE VIEW v ON DEMAND (a INT) AS SELECT b AS x".into(), &["unknown column `b`"]),
        ("CREATE FEATURE VIEW v ON DEMAND (a INT) AS SELECT a FROM flights".into(), &["without FROM"]),
        ("CREATE FEATURE VIEW v ON DEMAND (a INT) AS SELECT a LIMIT 1".into(), &["ORDER BY or LIMIT"]),
        ("CREATE FEATURE VIEW v ON DEMAND (a INT, a INT) AS SELECT a".into(), &["declared twice"]),
        ("CREATE FEATURE VIEW v ON DEMAND (a INT) AS SELECT a + 1".into(), &["give the column a name"]),
        ("DROP FEATURE VIEW v".into(), &["there is no feature view `v`", "CREATE FEATURE VIEW"]),
        ("DESCRIBE FEATURE VIEW v".into(), &["there is no feature view `v`"]),
        ("CREATE MODEL m".into(), &["FROM 'location"]),
        ("CREATE MODEL m FROM 'x' OPTIONS (device)".into(), &["a value"]),
    ];
    for (sql, parts) in cases {
        let message = refusal(&sql).await;
        for part in parts {
            assert!(message.contains(part), "{sql}\n`{part}` is not in: {message}");
        }
    }
}

#[tokio::test]
async fn views_are_replaced_dropped_and_listed_by_name() {
    let context = context().await;
    let create = format!("{HEAD} AS SELECT tailnum, departed, delay FROM flights");
    assert_eq!(run(&context, &create).await.as_deref(), Ok("feature view v created"));
    let again = run(&context, &create).await.expect_err("it is there");
    contains(&again, &["already", "OR REPLACE"]);
    let if_not = create.replace("VIEW v", "VIEW IF NOT EXISTS v");
    assert_eq!(run(&context, &if_not).await.as_deref(), Ok("feature view v is there already"));
    run(&context, &create.replace("CREATE", "CREATE OR REPLACE")).await.expect("replaced");
    let list = show(&context, "SHOW FEATURE VIEWS").await;
    assert_eq!(list.num_rows(), 1);
    assert_eq!(list.column(5).as_string::<i32>().value(0), "delay");
    assert!(list.column(4).is_null(0));
    let columns = show(&context, "DESCRIBE FEATURE VIEW v").await;
    assert_eq!(columns.num_rows(), 3);
    let near = run(&context, "DROP FEATURE VIEW w").await.expect_err("no such view");
    contains(&near, &["did you mean `v`?"]);
    assert_eq!(run(&context, "DROP FEATURE VIEW IF EXISTS w").await.as_deref(), Ok("there is no feature view w"));
    assert_eq!(run(&context, "DROP FEATURE VIEW v").await.as_deref(), Ok("feature view v dropped"));
    assert_eq!(show(&context, "SELECT count(*) FROM flights").await.num_rows(), 1);
}

#[tokio::test]
async fn the_definition_is_the_statement_as_it_was_written() {
    let sql = "CREATE FEATURE VIEW v  ENTITY (tailnum)\n  TIMESTAMP (departed) AS SELECT tailnum, departed, delay FROM flights";
    assert_eq!(definition(sql).await.definition, sql);
}

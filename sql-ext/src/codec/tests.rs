use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::DataFrame;
use datafusion_proto::bytes::{
    logical_plan_from_bytes_with_extension_codec, logical_plan_to_bytes_with_extension_codec,
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::DefaultPhysicalProtoConverter;
use futures::FutureExt;

use super::*;
use crate::{Options, Outcome, SkewlessContext};

const TRAINING_SET: &str = "SELECT n, v__x, v__total, sky__wind, both__sum, v__status, v__event_time \
    FROM ml_training_set(spine => (SELECT * FROM spine WHERE n < 90 ORDER BY n DESC), timestamp => 'at', \
      features => ['v(k => key)', 'sky', 'both'], status => true, witness => true, known_at => 70) WHERE n % 3 <> 0";

/// A session over files, which plans name by their paths.
async fn context(folder: &Path) -> SkewlessContext {
    let options = Options { target_partitions: Some(3), batch_size: Some(16), ..Options::default() };
    let context = SkewlessContext::new(options).await.expect("a session");
    let path = |name: &str| folder.join(name).display().to_string();
    let (events, spine, weather) = (path("events.csv"), path("spine.csv"), path("weather.parquet"));
    for statement in [
        format!("COPY (SELECT value % 5 AS k, value AS event, value + value % 11 AS known, value * 0.5 AS x \
                 FROM generate_series(1, 100)) TO '{events}' STORED AS CSV"),
        format!("COPY (SELECT value AS n, value % 6 AS key, value + 3 AS at FROM generate_series(1, 100)) \
                 TO '{spine}' STORED AS CSV"),
        format!("COPY (SELECT value * 10 AS hour, value AS wind FROM generate_series(1, 10)) \
                 TO '{weather}' STORED AS PARQUET"),
        format!("CREATE EXTERNAL TABLE events STORED AS CSV LOCATION '{events}'"),
        format!("CREATE EXTERNAL TABLE spine STORED AS CSV LOCATION '{spine}'"),
        format!("CREATE EXTERNAL TABLE weather STORED AS PARQUET LOCATION '{weather}'"),
        "CREATE FEATURE VIEW v ENTITY (k) TIMESTAMP (event) AVAILABLE AT (known) TTL 20
           AS SELECT *, sum(x) OVER (RANGE 30 PRECEDING) AS total FROM events WHERE x > 1".to_owned(),
        "CREATE FEATURE VIEW sky NO ENTITY TIMESTAMP (hour) AS SELECT hour, max(wind) AS wind FROM weather GROUP BY hour"
            .to_owned(),
        "CREATE FEATURE VIEW both ON DEMAND (v__x DOUBLE, sky__wind BIGINT) AS SELECT v__x + sky__wind AS sum".to_owned(),
    ] {
        for statement in context.parse(&statement).expect("a statement") {
            if let Outcome::Rows(rows) = context.run(statement).await.expect("set up") {
                rows.collect().await.expect("set up");
            }
        }
    }
    context
}

async fn frame(context: &SkewlessContext, sql: &str) -> DataFrame {
    let statement = context.parse(sql).expect("a statement").pop().expect("one statement");
    let Outcome::Rows(frame) = context.run(statement).await.expect("a query") else { panic!("{sql} is no query") };
    frame
}

async fn rows(plan: &Arc<dyn ExecutionPlan>, context: &SkewlessContext) -> RecordBatch {
    let batches = collect(Arc::clone(plan), context.session().task_ctx()).await.expect("rows");
    concat_batches(&plan.schema(), &batches).expect("one schema")
}

fn text(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(true).to_string()
}

#[tokio::test]
async fn a_physical_plan_survives_the_round_trip() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = context(folder.path()).await;
    let codec = SkewlessPhysicalCodec::default();
    // The other process knows our functions and nothing of the views.
    let there = SkewlessContext::new(Options::default()).await.expect("a session");
    for sql in [
        TRAINING_SET,
        "SELECT count(*) AS rows FROM ml_training_set(spine => (SELECT * FROM spine UNION ALL \
                 SELECT * FROM spine), timestamp => 'at', features => ['sky']) WHERE sky__wind > 3",
    ] {
        let plan = frame(&here, sql).await.create_physical_plan().await.expect("a plan");
        let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(&plan), &codec).expect("bytes");
        let back =
            physical_plan_from_bytes_with_extension_codec(&bytes, &there.session().task_ctx(), &codec).expect("a plan");
        assert_eq!(text(&back), text(&plan));
        let expected = rows(&plan, &here).await;
        assert!(expected.num_rows() > 0);
        assert_eq!(rows(&back, &there).await, expected);
    }
}

#[tokio::test]
async fn a_logical_plan_survives_the_round_trip() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = context(folder.path()).await;
    let codec = SkewlessLogicalCodec::default();
    let plan = frame(&here, TRAINING_SET).await.logical_plan().clone();
    let bytes = logical_plan_to_bytes_with_extension_codec(&plan, &codec).expect("bytes");
    let back =
        logical_plan_from_bytes_with_extension_codec(&bytes, &here.session().task_ctx(), &codec).expect("a plan");
    assert_eq!(back.display_indent().to_string(), plan.display_indent().to_string());
    let plans = [plan, back].map(|plan| here.session().execute_logical_plan(plan));
    let [plan, back] = plans.map(|frame| async { frame.await?.create_physical_plan().await });
    let (plan, back) = (plan.await.expect("a plan"), back.await.expect("a plan"));
    assert_eq!(rows(&back, &here).await, rows(&plan, &here).await);
}

/// The messages of our operators in the plan.
fn messages(plan: &Arc<dyn ExecutionPlan>, codec: &SkewlessPhysicalCodec, found: &mut Vec<(Vec<u8>, Inputs)>) {
    let mut bytes = Vec::new();
    let inputs: Inputs = plan.children().into_iter().map(Arc::clone).collect();
    for input in &inputs {
        messages(input, codec, found);
    }
    if codec.try_encode(Arc::clone(plan), &mut bytes, &DefaultPhysicalProtoConverter {}).is_ok() {
        found.push((bytes, inputs));
    }
}

type Inputs = Vec<Arc<dyn ExecutionPlan>>;

#[tokio::test]
async fn a_truncated_or_lying_message_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = context(folder.path()).await;
    let codec = SkewlessPhysicalCodec::default();
    let task = here.session().task_ctx();
    let plan = frame(&here, TRAINING_SET).await.create_physical_plan().await.expect("a plan");

    let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(&plan), &codec).expect("bytes");
    for end in (0..bytes.len()).step_by(61) {
        // Some prefixes are plans too; reading one may fail and must not panic.
        let _read = physical_plan_from_bytes_with_extension_codec(&bytes[..end], &task, &codec);
    }

    let mut found = Vec::new();
    messages(&plan, &codec, &mut found);
    let (message, inputs) = found.into_iter().find(|(_, inputs)| inputs.len() == 3).expect("the training set");
    let decode = |bytes: &[u8], inputs: &[Arc<dyn ExecutionPlan>]| {
        codec.try_decode(bytes, inputs, &task, &DefaultPhysicalProtoConverter {})
    };
    let honest = decode(&message, &inputs).expect("a plan");
    assert_eq!(honest.name(), "TrainingSetExec");
    for end in 0..message.len() {
        assert!(decode(&message[..end], &inputs).is_err(), "{end} of {} bytes", message.len());
    }
    for some in [0..0, 0..1, 0..2, 1..3] {
        assert!(decode(&message, &inputs[some.clone()]).is_err(), "inputs {some:?}");
    }
    let json = String::from_utf8(message).expect("JSON");
    for (from, to, part) in [
        ("{\"time\":", "{\"time\":9", "the as-of time is not a column"),
        ("\"keys\":[", "\"keys\":[99,", "the keys of the feature view `v` are not columns"),
        ("\"version\":1", "\"version\":7", "is of version 7"),
        ("\"status\":true", "\"status\":1", "cannot be read"),
        ("TrainingSet", "Trainingset", "run one build everywhere"),
        ("skewless 1", "skewless 2", "PhysicalExtensionCodec is not provided"),
    ] {
        assert!(json.contains(from), "{from} is not in {json}");
        let message = decode(json.replacen(from, to, 1).as_bytes(), &inputs).map(|_| ()).expect_err(to).to_string();
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    // Right in itself, wrong for these inputs: the sources' columns are not what the views read.
    let swapped: Inputs = [0, 2, 1].iter().map(|at| Arc::clone(&inputs[*at])).collect();
    let plan = decode(&json.into_bytes(), &swapped).expect("a plan");
    let failed = std::panic::AssertUnwindSafe(collect(plan, task)).catch_unwind().await.expect("no panic");
    assert!(failed.expect_err("other columns").to_string().contains("which the input does not have"));
}

#[tokio::test]
async fn exact_drift_survives_the_round_trip() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = context(folder.path()).await;
    let there = SkewlessContext::new(Options::default()).await.expect("a session");
    let (codec, logical) = (SkewlessPhysicalCodec::default(), SkewlessLogicalCodec::default());
    let sql = "SELECT * FROM ml_validate_drift(base => (SELECT k, x, event FROM events WHERE event < 50), \
               study => (SELECT k, x, event FROM events WHERE event >= 50), by => ['k'], exact => true)";
    let query = frame(&here, sql).await;
    let plan = query.logical_plan().clone();
    let bytes = logical_plan_to_bytes_with_extension_codec(&plan, &logical).expect("bytes");
    let back =
        logical_plan_from_bytes_with_extension_codec(&bytes, &here.session().task_ctx(), &logical).expect("a plan");
    assert_eq!(back.display_indent().to_string(), plan.display_indent().to_string());

    let plan = query.create_physical_plan().await.expect("a plan");
    assert!(text(&plan).contains("ExactDriftExec"), "{}", text(&plan));
    let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(&plan), &codec).expect("bytes");
    let task = there.session().task_ctx();
    let back = physical_plan_from_bytes_with_extension_codec(&bytes, &task, &codec).expect("a plan");
    assert_eq!((text(&back), back.schema()), (text(&plan), plan.schema()));
    assert_eq!(rows(&back, &there).await, rows(&plan, &here).await);

    // Its inputs have not run.
    let plan = frame(&here, sql).await.create_physical_plan().await.expect("a plan");
    let mut found = Vec::new();
    messages(&plan, &codec, &mut found);
    let (message, inputs) = found.into_iter().find(|(_, inputs)| inputs.len() == 3).expect("the operator");
    let decode = |bytes: &[u8], inputs: &[Arc<dyn ExecutionPlan>]| {
        codec.try_decode(bytes, inputs, &task, &DefaultPhysicalProtoConverter {})
    };
    decode(&message, &inputs).expect("a plan");
    for end in 0..message.len() {
        assert!(decode(&message[..end], &inputs).is_err(), "{end} of {} bytes", message.len());
    }
    let swapped: Inputs = inputs.iter().rev().map(Arc::clone).collect();
    for wrong in [&inputs[..0], &inputs[..2], &swapped] {
        assert!(decode(&message, wrong).is_err());
    }
    // A place that no column has is a column without a profile.
    let json = String::from_utf8(message).expect("JSON");
    assert!(json.contains("\"columns\":[0,1]"), "{json}");
    let plan = decode(json.replacen("[0,1]", "[7,1]", 1).as_bytes(), &inputs).expect("a plan");
    assert!(std::panic::AssertUnwindSafe(collect(plan, task)).catch_unwind().await.is_ok(), "a panic");
}

const AS_OF_JOINS: [&str; 4] = [
    "SELECT n, e.x, e.event FROM spine s ASOF JOIN events e MATCH_CONDITION (s.at >= e.event) ON s.key = e.k",
    "SELECT n, e.* FROM spine s ASOF JOIN events e MATCH_CONDITION (s.at < e.known) ON s.key = e.k WHERE n > 9",
    "SELECT n, e.x FROM spine s ASOF JOIN events e MATCH_CONDITION (s.at * 2 >= e.event + 0.5)",
    "SELECT * FROM asof_join(left => (SELECT n, key AS k, at FROM spine s), right => (SELECT * FROM events), \
     on => ['k'], match => 'l.at >= r.event', tolerance => 2, direction => 'nearest', tie_break => ['x'])",
];

#[tokio::test]
async fn an_as_of_join_survives_the_round_trip() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = context(folder.path()).await;
    let there = SkewlessContext::new(Options::default()).await.expect("a session");
    let (codec, logical) = (SkewlessPhysicalCodec::default(), SkewlessLogicalCodec::default());
    for sql in AS_OF_JOINS {
        let query = frame(&here, sql).await;
        let plan = query.logical_plan().clone();
        let bytes = logical_plan_to_bytes_with_extension_codec(&plan, &logical).expect("bytes");
        let back =
            logical_plan_from_bytes_with_extension_codec(&bytes, &here.session().task_ctx(), &logical).expect("a plan");
        assert_eq!(back.display_indent().to_string(), plan.display_indent().to_string());

        let plan = query.create_physical_plan().await.expect("a plan");
        assert!(text(&plan).contains("AsOfJoinExec"), "{}", text(&plan));
        let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(&plan), &codec).expect("bytes");
        let back =
            physical_plan_from_bytes_with_extension_codec(&bytes, &there.session().task_ctx(), &codec).expect("a plan");
        assert_eq!((text(&back), back.schema()), (text(&plan), plan.schema()));
        // Its partitions come in any order.
        let sorted = |rows: RecordBatch| {
            let text = pretty_format_batches(&[rows]).expect("text").to_string();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(rows(&back, &there).await), sorted(rows(&plan, &here).await));

        let mut found = Vec::new();
        messages(&plan, &codec, &mut found);
        let (message, inputs) = found.into_iter().find(|(_, inputs)| inputs.len() > 1).expect("the join");
        let task = here.session().task_ctx();
        let decode = |bytes: &[u8], inputs: &[Arc<dyn ExecutionPlan>]| {
            codec.try_decode(bytes, inputs, &task, &DefaultPhysicalProtoConverter {})
        };
        decode(&message, &inputs).expect("a plan");
        for end in 0..message.len() {
            assert!(decode(&message[..end], &inputs).is_err(), "{end} of {} bytes", message.len());
        }
        assert!(decode(&message, &inputs[..1]).is_err());
        // Every expression is one for the other side now, or none at all.
        let swapped: Inputs = inputs.iter().rev().map(Arc::clone).collect();
        if let Ok(plan) = decode(&message, &swapped) {
            let run = std::panic::AssertUnwindSafe(collect(plan, Arc::clone(&task))).catch_unwind().await;
            assert!(run.is_ok(), "a panic");
        }
        let json = String::from_utf8(message).expect("JSON");
        for (from, to) in [("\"keys\":[[", "\"keys\":[[9],["), ("\"time\":[", "\"time\":[8,"), ("Nearest", "Nowhere")] {
            if json.contains(from) {
                assert!(decode(json.replacen(from, to, 1).as_bytes(), &inputs).is_err(), "{to}");
            }
        }
    }
}

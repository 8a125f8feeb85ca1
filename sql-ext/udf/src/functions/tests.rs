#![allow(clippy::float_cmp, reason = "these results are exact")]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDF, ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column as ColumnExpr, Literal};
use proptest::prelude::*;
use skewless_catalog::function::Kind;
use skewless_catalog::{Column, FUNCTIONS, Type, Value};

use super::*;

fn scalar_function(name: &str) -> Arc<ScalarUDF> {
    let of_name = |function: &Arc<ScalarUDF>| function.name() == name;
    scalars().into_iter().chain(pinned_math()).find(of_name).unwrap()
}

fn aggregate_function(name: &str) -> Arc<AggregateUDF> {
    let of_name = |function: &Arc<AggregateUDF>| function.name() == name;
    aggregates().into_iter().chain(exact_aggregates()).find(of_name).unwrap()
}

fn array(data_type: Type, values: &[&Value]) -> ArrayRef {
    let column = Column::from_values(data_type, values).unwrap();
    let reading = if matches!(column.values, skewless_catalog::Values::Text(_)) { Type::Text } else { data_type };
    let mut owned = Column::empty(reading);
    assert!(owned.append(&column));
    convert::to_array(owned).unwrap()
}

fn plan(function: &ScalarUDF, args: &[ColumnarValue]) -> Result<FieldRef> {
    let fields: Vec<FieldRef> = args.iter().map(|arg| Field::new("arg", arg.data_type(), true).into()).collect();
    let constants: Vec<Option<&ScalarValue>> =
        args.iter().map(|arg| if let ColumnarValue::Scalar(value) = arg { Some(value) } else { None }).collect();
    function.return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &constants })
}

fn invoke(function: &ScalarUDF, args: Vec<ColumnarValue>, rows: usize) -> Result<ArrayRef> {
    let return_field = plan(function, &args)?;
    let arg_fields = args.iter().map(|arg| Field::new("arg", arg.data_type(), true).into()).collect();
    let config_options = Arc::new(ConfigOptions::default());
    let result = function.invoke_with_args(ScalarFunctionArgs {
        args,
        arg_fields,
        number_rows: rows,
        return_field: Arc::clone(&return_field),
        config_options,
    })?;
    assert_eq!(&result.data_type(), return_field.data_type());
    result.to_array(rows)
}

fn accumulator(function: &AggregateUDF, types: &[DataType], options: &[ScalarValue]) -> Result<Box<dyn Accumulator>> {
    accumulator_by(function, types, options, AggregateUDF::accumulator)
}

fn sliding_accumulator(function: &AggregateUDF, types: &[DataType]) -> Result<Box<dyn Accumulator>> {
    accumulator_by(function, types, &[], AggregateUDF::create_sliding_accumulator)
}

fn accumulator_by(
    function: &AggregateUDF,
    types: &[DataType],
    options: &[ScalarValue],
    create: impl Fn(&AggregateUDF, AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>>,
) -> Result<Box<dyn Accumulator>> {
    let collected: Vec<FieldRef> =
        types.iter().enumerate().map(|(i, t)| Field::new(format!("c{i}"), t.clone(), true).into()).collect();
    let schema = Schema::new(collected.clone());
    let columns = (0..types.len()).map(|i| Arc::new(ColumnExpr::new(&format!("c{i}"), i)) as Arc<dyn PhysicalExpr>);
    let literals = options.iter().map(|value| Arc::new(Literal::new(value.clone())) as Arc<dyn PhysicalExpr>);
    let exprs: Vec<Arc<dyn PhysicalExpr>> = columns.chain(literals).collect();
    let fields: Vec<FieldRef> = collected
        .into_iter()
        .chain(options.iter().map(|value| Field::new("option", value.data_type(), true).into()))
        .collect();
    let return_field = function.return_field(&fields)?;
    let state = function.state_fields(StateFieldsArgs {
        name: "state",
        input_fields: &fields,
        return_field: Arc::clone(&return_field),
        ordering_fields: &[],
        is_distinct: false,
    })?;
    let arguments = AccumulatorArgs {
        return_field,
        schema: &schema,
        ignore_nulls: false,
        order_bys: &[],
        is_reversed: false,
        name: function.name(),
        is_distinct: false,
        exprs: &exprs,
        expr_fields: &fields,
    };
    let mut accumulator = create(function, arguments)?;
    let types: Vec<DataType> = accumulator.state()?.iter().map(ScalarValue::data_type).collect();
    assert_eq!(types, state.iter().map(|field| field.data_type().clone()).collect::<Vec<_>>());
    Ok(accumulator)
}

fn text(result: &ArrayRef) -> String {
    format!("{:?}", ScalarValue::try_from_array(result, 0).unwrap())
}

#[test]
fn names_and_types_are_right() {
    for function in scalars() {
        let definition = skewless_catalog::find(function.name()).unwrap();
        let names: Vec<&str> = definition.args().iter().map(|arg| arg.name).collect();
        assert_eq!(function.signature().parameter_names.as_ref().unwrap(), &names);
        let prefixed =
            if function.name().starts_with("ml_") { String::new() } else { format!("ml_{}", function.name()) };
        assert!(prefixed.is_empty() || function.aliases().contains(&prefixed));
        assert_eq!(function.documentation().unwrap().arguments.as_ref().unwrap().len(), names.len());
    }
    for function in aggregates() {
        let definition = skewless_catalog::find(function.name()).unwrap();
        assert_eq!(function.signature().parameter_names.as_ref().unwrap().len(), definition.args().len());
        assert!(function.documentation().is_some());
    }
}

#[test]
fn every_example_comes_out_of_the_adapters() {
    for function in FUNCTIONS {
        for example in function.examples() {
            let count = example.rows.first().map_or(0, Vec::len);
            let columns: Vec<ArrayRef> = (function.args().iter().take(count).enumerate())
                .map(|(i, arg)| array(arg.data_type, &example.rows.iter().map(|row| &row[i]).collect::<Vec<_>>()))
                .collect();
            let want = match &example.returns {
                Value::Record(_) => None,
                value => Some(text(&array(function.returns(), &[value]))),
            };
            let got = match function.kind() {
                Kind::Scalar => {
                    let args = columns.into_iter().map(ColumnarValue::Array).collect();
                    invoke(&scalar_function(function.name()), args, 1).unwrap()
                }
                Kind::Aggregate => {
                    let collected = function.args().iter().take(count).filter(|arg| arg.default.is_none()).count();
                    let types: Vec<DataType> =
                        columns.iter().take(collected).map(|column| column.data_type().clone()).collect();
                    let options: Vec<ScalarValue> = (columns.iter().skip(collected))
                        .map(|column| ScalarValue::try_from_array(column, 0).unwrap())
                        .collect();
                    let mut accumulator = accumulator(&aggregate_function(function.name()), &types, &options).unwrap();
                    accumulator.update_batch(&columns).unwrap();
                    accumulator.evaluate().unwrap().to_array().unwrap()
                }
                // What a detector's adapter gives is tested in SQL, where a window is planned: tests/sql/functions.slt.
                Kind::Window => continue,
            };
            assert_eq!(got.data_type(), &types::arrow_type(function.returns()));
            if let Some(want) = want {
                assert_eq!(text(&got), want, "{}", function.name());
            }
        }
    }
}

fn floats(values: impl IntoIterator<Item = Option<f64>>) -> ColumnarValue {
    ColumnarValue::Array(Arc::new(Float64Array::from_iter(values)))
}

fn constant(value: impl Into<ScalarValue>) -> ColumnarValue {
    ColumnarValue::Scalar(value.into())
}

#[test]
fn a_constant_is_as_good_as_a_column_of_it() {
    let clip = scalar_function("clip");
    let x = || floats([Some(-1.0), None, Some(f64::NAN), Some(0.5)]);
    let by_constant = invoke(&clip, vec![x(), constant(0.0), constant(1.0)], 4).unwrap();
    let by_column = invoke(&clip, vec![x(), floats([Some(0.0); 4]), floats([Some(1.0); 4])], 4).unwrap();
    assert_eq!(format!("{by_constant:?}"), format!("{by_column:?}"));
    assert!(by_constant.is_null(1) && !by_constant.is_null(2));
    let null = invoke(&clip, vec![x(), constant(ScalarValue::Null), constant(1.0)], 4).unwrap();
    assert_eq!(null.null_count(), 4);
    assert_eq!(invoke(&clip, vec![constant(3_i64), constant(0_i64), constant(1_i64)], 7).unwrap().len(), 7);
    assert_eq!(invoke(&clip, vec![floats([]), constant(0.0), constant(1.0)], 0).unwrap().len(), 0);
}

#[test]
fn slices_keep_their_own_rows() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), Some("SEA"), None, Some("PDX")]));
    let places: ArrayRef = array(Type::TextList, &[&Value::from(["PDX", "SEA"])]);
    let places = ColumnarValue::Scalar(ScalarValue::try_from_array(&places, 0).unwrap());
    let encoded =
        invoke(&scalar_function("one_hot"), vec![ColumnarValue::Array(texts.slice(1, 3)), places], 3).unwrap();
    let row = |row: usize| encoded.as_list::<i32>().value(row).as_primitive::<Float64Type>().values().to_vec();
    assert_eq!((row(0), row(2)), (vec![0.0, 1.0], vec![1.0, 0.0]));
    assert!(encoded.is_null(1));
}

#[test]
fn instants_are_read_in_utc_whatever_their_zone_and_unit() {
    let hour = |array: ArrayRef| {
        let rows = array.len();
        let result = invoke(&scalar_function("hour_sin"), vec![ColumnarValue::Array(array)], rows).unwrap();
        result.as_primitive::<Float64Type>().value(0)
    };
    let six = 6 * 3_600 * 1_000_000_000_i64;
    assert_eq!(hour(Arc::new(TimestampNanosecondArray::from(vec![six]))), 1.0);
    assert_eq!(hour(Arc::new(TimestampNanosecondArray::from(vec![six]).with_timezone("+05:00"))), 1.0);
    // A nanosecond before 1970 is still 23 h.
    let eleven = (23.0_f64 / 24.0 * std::f64::consts::TAU).sin();
    assert!((hour(Arc::new(TimestampNanosecondArray::from(vec![-1]))) - eleven).abs() < 1e-12);
}

#[test]
fn wrong_types_are_refused_when_planned_with_a_remedy() {
    let error =
        |name: &str, types: &[DataType]| scalar_function(name).return_type(types).unwrap_err().strip_backtrace();
    let message = error("hash_bucket", &[DataType::Float64, DataType::Int64]);
    assert!(message.contains("argument `x` has to be VARCHAR, but is DOUBLE; write CAST(… AS VARCHAR)"), "{message}");
    let message = error("hour_sin", &[DataType::Utf8View]);
    assert!(message.contains("has to be TIMESTAMP, but is VARCHAR; write TIMESTAMP '…'"), "{message}");
    let message = error("bucketize", &[DataType::Float64, DataType::Float64]);
    assert!(message.contains("write a list"), "{message}");
    let message = error("clip", &[DataType::Float64]);
    assert!(message.contains("clip(x DOUBLE, low DOUBLE, high DOUBLE) -> DOUBLE"), "{message}");
    let psi = aggregate_function("psi").return_type(&[DataType::Date32, DataType::Boolean]).unwrap_err().to_string();
    assert!(psi.contains("`value` has to be DOUBLE or VARCHAR"), "{psi}");
    let psi = aggregate_function("psi").return_type(&[DataType::Int32, DataType::Int32]).unwrap_err().to_string();
    assert!(psi.contains("write a condition, such as is_base = 1"), "{psi}");
    let parity = aggregate_function("demographic_parity_difference");
    let parity = parity.return_type(&[DataType::Utf8View, DataType::Utf8View]).unwrap_err().to_string();
    assert!(
        parity
            .contains("`prediction` has to be BOOLEAN, but is VARCHAR; write a condition, such as prediction = 'yes'")
    );
}

#[test]
fn constants_that_nothing_makes_right_are_refused_when_planned() {
    let refusal =
        |name: &str, args: &[ColumnarValue]| plan(&scalar_function(name), args).unwrap_err().strip_backtrace();
    let message = refusal("clip", &[floats([Some(1.0)]), constant(5.0), constant(1.0)]);
    assert!(message.contains("`low` has to be at most `high`"), "{message}");
    let texts = ColumnarValue::Array(Arc::new(StringArray::from(vec!["a"])));
    let message = refusal("hash_bucket", &[texts, constant(0_i64)]);
    assert!(message.contains("there has to be at least 1 bucket"), "{message}");
    assert!(plan(&scalar_function("standard_scaler"), &[floats([Some(1.0)]), floats([]), constant(-1.0)]).is_ok());
}

#[test]
fn null_in_a_list_is_an_error_and_a_null_list_is_null() {
    let lists: ArrayRef = {
        let mut builder = arrow::array::ListBuilder::new(arrow::array::Float64Builder::new());
        builder.append_value([Some(1.0), None]);
        builder.append_null();
        Arc::new(builder.finish())
    };
    let call = |from: usize| {
        let args = vec![floats([Some(1.0)]), ColumnarValue::Array(lists.slice(from, 1))];
        invoke(&scalar_function("bucketize"), args, 1)
    };
    assert!(call(0).unwrap_err().to_string().contains("`edges` holds NULL"));
    assert!(call(1).unwrap().is_null(0));
}

#[test]
fn options_are_constants_and_checked() {
    let types = [DataType::Float64, DataType::Boolean];
    let psi = aggregate_function("psi_value");
    let refused = accumulator(&psi, &types, &[ScalarValue::Null, ScalarValue::Int64(Some(1))]).err().unwrap();
    assert!(refused.to_string().contains("`bins` is 1"));
}

#[test]
fn pinned_functions_are_those_of_libm() {
    let x = 0.3_f64;
    for (name, want) in [("exp", libm::exp(x)), ("ln", libm::log(x)), ("sin", libm::sin(x)), ("tanh", libm::tanh(x))] {
        let got = invoke(&scalar_function(name), vec![floats([Some(x), None])], 2).unwrap();
        assert_eq!(got.as_primitive::<Float64Type>().value(0).to_bits(), want.to_bits());
        assert!(got.is_null(1));
    }
    let log = invoke(&scalar_function("log"), vec![constant(10.0), floats([Some(1000.0)])], 1).unwrap();
    assert_eq!(log.as_primitive::<Float64Type>().value(0), 3.0);
    let single = constant(ScalarValue::Float32(Some(0.3)));
    let single = invoke(&scalar_function("exp"), vec![single], 1).unwrap();
    assert_eq!(single.data_type(), &DataType::Float32);
    let error = invoke(&scalar_function("power"), vec![floats([Some(0.0)]), constant(-1.0)], 1).unwrap_err();
    assert!(error.to_string().contains("negative power"));
}

#[test]
fn integers_are_summed_by_datafusion_itself() {
    let sum = aggregate_function("sum");
    let mut total = accumulator(&sum, &[DataType::Int64], &[]).unwrap();
    total.update_batch(&[Arc::new(Int64Array::from(vec![1, 2]))]).unwrap();
    assert_eq!(total.evaluate().unwrap(), ScalarValue::Int64(Some(3)));
    let average = aggregate_function("avg");
    let given: Vec<FieldRef> = vec![Field::new("x", DataType::Float64, true).into()];
    assert_eq!(average.return_field(&given).unwrap().data_type(), &DataType::Float64);
    assert_eq!(
        aggregate_function("sum").return_type(&[DataType::Duration(TimeUnit::Second)]).unwrap(),
        DataType::Duration(TimeUnit::Second)
    );
}

#[test]
fn no_values_have_no_sum_and_foreign_states_are_refused() {
    for name in ["sum", "avg", "var", "stddev_pop"] {
        let mut accumulator = accumulator(&aggregate_function(name), &[DataType::Float64], &[]).unwrap();
        accumulator.update_batch(&[Arc::new(Float64Array::from(vec![None, None]))]).unwrap();
        assert_eq!(accumulator.evaluate().unwrap(), ScalarValue::Float64(None));
        let foreign: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![b"foreign".as_slice()]));
        assert!(accumulator.merge_batch(&[foreign]).unwrap_err().to_string().contains("aggregate the rows again"));
    }
}

#[test]
fn a_frame_that_slides_over_kept_rows_is_refused_with_a_remedy() {
    let types = [DataType::Float64, DataType::Boolean];
    let refusal = sliding_accumulator(&aggregate_function("ks_test"), &types).err().unwrap().to_string();
    assert!(refusal.contains("ks_test takes no frame that slides") && refusal.contains("UNBOUNDED"), "{refusal}");
    let refusal = sliding_accumulator(&aggregate_function("ml_profile"), &types[..1]).err().unwrap().to_string();
    assert!(refusal.contains("ml_profile takes no frame that slides"), "{refusal}");
}

fn values() -> impl Strategy<Value = Vec<Option<f64>>> {
    let value = prop_oneof![4 => -1e6..1e6, 1 => any::<f64>(), 1 => Just(f64::NAN)];
    proptest::collection::vec(proptest::option::weighted(0.9, value), 0..60)
}

proptest! {
    #[test]
    fn partitions_and_merge_order_leave_no_trace(values in values(), labels in any::<u64>(), cuts in 1_usize..6) {
        let labels: Vec<Option<bool>> = (0..values.len()).map(|i| match labels >> (i % 60) & 3 {
            0 | 3 => Some(true),
            1 => Some(false),
            _ => None,
        }).collect();
        let x: ArrayRef = Arc::new(Float64Array::from(values.clone()));
        let is_base: ArrayRef = Arc::new(arrow::array::BooleanArray::from(labels));
        for name in ["psi", "psi_value", "ks_test", "sum", "avg", "var", "var_pop", "stddev"] {
            let function = aggregate_function(name);
            let (types, columns): (Vec<DataType>, Vec<ArrayRef>) = if matches!(name, "psi" | "psi_value" | "ks_test") {
                (vec![DataType::Float64, DataType::Boolean], vec![Arc::clone(&x), Arc::clone(&is_base)])
            } else {
                (vec![DataType::Float64], vec![Arc::clone(&x)])
            };
            let mut whole = accumulator(&function, &types, &[]).unwrap();
            whole.update_batch(&columns).unwrap();
            let mut merged = accumulator(&function, &types, &[]).unwrap();
            let length = values.len().div_ceil(cuts).max(1);
            for from in (0..values.len()).step_by(length).rev() {
                let mut part = accumulator(&function, &types, &[]).unwrap();
                let rows = length.min(values.len() - from);
                let slices: Vec<ArrayRef> = columns.iter().map(|column| column.slice(from, rows)).collect();
                part.update_batch(&slices).unwrap();
                let state: Vec<ArrayRef> = part.state().unwrap().iter().map(|s| s.to_array().unwrap()).collect();
                merged.merge_batch(&state).unwrap();
            }
            prop_assert_eq!(format!("{:?}", whole.evaluate().unwrap()), format!("{:?}", merged.evaluate().unwrap()));
        }
    }

    #[test]
    fn a_sliding_sum_is_that_of_its_window(values in values(), width in 1_usize..10) {
        let is_base = (0..values.len()).map(|i| (i % 5 != 4).then_some(i % 2 == 0)).collect::<arrow::array::BooleanArray>();
        let all: [ArrayRef; 2] = [Arc::new(Float64Array::from(values.clone())), Arc::new(is_base)];
        for (name, arguments) in
            [("sum", 1), ("avg", 1), ("stddev", 1), ("psi", 2), ("welch_t_test", 2), ("root_mean_squared_error", 2)]
        {
            let function = aggregate_function(name);
            let mut all = all.clone();
            if name == "root_mean_squared_error" {
                all[1] = Arc::new(Float64Array::from(values.iter().map(|x| x.map(|x| x / 2.0)).collect::<Vec<_>>()));
            }
            let columns = &all[..arguments];
            let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
            let mut sliding = sliding_accumulator(&function, &types).unwrap();
            prop_assert!(sliding.supports_retract_batch());
            for end in 0..values.len() {
                let rows = |from: usize, to: usize| -> Vec<ArrayRef> {
                    columns.iter().map(|column| column.slice(from, to - from)).collect()
                };
                sliding.update_batch(&rows(end, end + 1)).unwrap();
                if end >= width {
                    sliding.retract_batch(&rows(end - width, end + 1 - width)).unwrap();
                }
                let mut fresh = accumulator(&function, &types, &[]).unwrap();
                fresh.update_batch(&rows((end + 1).saturating_sub(width), end + 1)).unwrap();
                prop_assert_eq!(format!("{:?}", sliding.evaluate().unwrap()), format!("{:?}", fresh.evaluate().unwrap()));
            }
        }
    }
}

"""Writes what Great Expectations (1.x and 0.x) and pandera write of expectations on the flights of tests/data, and what they
say of that data: <tool>.json, and <tool>.results.json with, for each rule of the imported contract, whether it holds and how
many rows break it (null where the tool counts otherwise). Read by sql-ext/cli/tests/contract.rs.

Run from anywhere with each of the two sets of requirements beside this file; no environment holds both versions:

    python -m venv one && one/bin/pip install -r tests/golden/contract/requirements-1.txt && one/bin/python tests/golden/contract/make.py
    python -m venv old && old/bin/pip install -r tests/golden/contract/requirements-0.txt && old/bin/python tests/golden/contract/make.py
"""

import json
import warnings
from importlib.metadata import version
from pathlib import Path

import great_expectations as gx
import pandas as pd

warnings.simplefilter("ignore")
HERE = Path(__file__).parent
FLIGHTS = pd.read_parquet(HERE / "../../data/pnw-flights/flights.parquet")
# Great Expectations compares numpy's numbers, in which NULL is NaN.
NUMBERS = {name: "float64" if FLIGHTS[name].isna().any() else "int32" for name in FLIGHTS.select_dtypes("number").columns}

# The rule that the imported contract has, the expectation, and whether both count the same rows.
ROW, WHOLE = True, False
EXPECTATIONS = [
    ("dest_type", "expect_column_to_exist", {"column": "dest"}, WHOLE),
    ("carrier_not_null", "expect_column_values_to_not_be_null", {"column": "carrier"}, ROW),
    ("dep_time_not_null", "expect_column_values_to_not_be_null", {"column": "dep_time"}, ROW),
    ("dep_delay_complete", "expect_column_values_to_not_be_null", {"column": "dep_delay", "mostly": 0.99}, WHOLE),
    ("arr_delay_complete", "expect_column_values_to_not_be_null", {"column": "arr_delay", "mostly": 0.995}, WHOLE),
    ("hour_null", "expect_column_values_to_be_null", {"column": "hour"}, ROW),
    ("tailnum_unique", "expect_column_values_to_be_unique", {"column": "tailnum"}, WHOLE),
    ("year_month_day_carrier_flight_origin_unique", "expect_compound_columns_to_be_unique",
     {"column_list": ["year", "month", "day", "carrier", "flight", "origin"], "ignore_row_if": "any_value_is_missing"}, WHOLE),
    ("dep_delay_between", "expect_column_values_to_be_between", {"column": "dep_delay", "min_value": -30, "max_value": 1200}, ROW),
    ("distance_between", "expect_column_values_to_be_between",
     {"column": "distance", "min_value": 50, "strict_min": True, "max_value": 2724, "strict_max": True}, ROW),
    ("air_time_between", "expect_column_values_to_be_between", {"column": "air_time", "min_value": 0}, ROW),
    ("arr_delay_between", "expect_column_values_to_be_between",
     {"column": "arr_delay", "min_value": -60, "max_value": 60, "mostly": 0.99}, WHOLE),
    ("arr_delay_between_2", "expect_column_values_to_be_between",
     {"column": "arr_delay", "min_value": -60, "max_value": 60, "mostly": 0.9}, WHOLE),
    ("origin_in_set", "expect_column_values_to_be_in_set", {"column": "origin", "value_set": ["SEA", "PDX"]}, ROW),
    ("dest_in_set", "expect_column_values_to_be_in_set", {"column": "dest", "value_set": ["ORD", "DFW", "ANC"]}, ROW),
    ("carrier_not_in_set", "expect_column_values_to_not_be_in_set", {"column": "carrier", "value_set": ["AA", "VX"]}, ROW),
    ("carrier_matches", "expect_column_values_to_match_regex", {"column": "carrier", "regex": "^[A-Z]{2}$"}, ROW),
    ("tailnum_matches", "expect_column_values_to_match_regex", {"column": "tailnum", "regex": "AS$", "mostly": 0.2}, WHOLE),
    ("tailnum_not_matches", "expect_column_values_to_not_match_regex", {"column": "tailnum", "regex": "^N3"}, ROW),
    ("dest_matches", "expect_column_values_to_match_regex_list", {"column": "dest", "regex_list": ["^S", "^A"], "match_on": "any"}, ROW),
    ("tailnum_length", "expect_column_value_lengths_to_be_between", {"column": "tailnum", "min_value": 6, "max_value": 6}, ROW),
    ("origin_length", "expect_column_value_lengths_to_equal", {"column": "origin", "value": 3}, ROW),
    ("arr_delay_dep_delay_not_below", "expect_column_pair_values_a_to_be_greater_than_b",
     {"column_A": "arr_delay", "column_B": "dep_delay", "or_equal": True}, ROW),
    ("distance_air_time_not_below", "expect_column_pair_values_a_to_be_greater_than_b",
     {"column_A": "distance", "column_B": "air_time", "ignore_row_if": "either_value_is_missing", "mostly": 0.5}, WHOLE),
    ("origin_dest_equal", "expect_column_pair_values_to_be_equal", {"column_A": "origin", "column_B": "dest"}, ROW),
    ("row_count", "expect_table_row_count_to_be_between", {"min_value": 100_000, "max_value": 200_000}, WHOLE),
    ("row_count_2", "expect_table_row_count_to_equal", {"value": 1000}, WHOLE),
    ("distance_min", "expect_column_min_to_be_between", {"column": "distance", "min_value": 60}, WHOLE),
    ("distance_max", "expect_column_max_to_be_between", {"column": "distance", "max_value": 2724}, WHOLE),
    ("dep_delay_mean", "expect_column_mean_to_be_between", {"column": "dep_delay", "min_value": 7, "max_value": 8}, WHOLE),
    ("dep_delay_median", "expect_column_median_to_be_between", {"column": "dep_delay", "min_value": -1, "max_value": 1}, WHOLE),
    ("distance_sum", "expect_column_sum_to_be_between", {"column": "distance", "min_value": 1, "max_value": 300_000_000}, WHOLE),
    ("dep_delay_stdev", "expect_column_stdev_to_be_between", {"column": "dep_delay", "min_value": 30, "max_value": 34}, WHOLE),
    ("carrier_distinct", "expect_column_unique_value_count_to_be_between", {"column": "carrier", "min_value": 5, "max_value": 20}, WHOLE),
    # Those that a contract cannot say.
    (None, "expect_column_values_to_match_regex", {"column": "tailnum", "regex": "^N(?!3)"}, ROW),
    (None, "expect_column_proportion_of_unique_values_to_be_between", {"column": "tailnum", "min_value": 0.0, "max_value": 0.5}, WHOLE),
    (None, "expect_column_values_to_be_between",
     {"column": "distance", "min_value": 0, "row_condition": 'origin=="SEA"', "condition_parser": "pandas"}, ROW),
    (None, "expect_column_values_to_be_in_type_list", {"column": "tailnum", "type_list": ["str", "int"]}, WHOLE),
]


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def results(validated):
    """By rule: whether it holds, and how many rows break it."""
    found = {}
    for (rule, _, _, counts), result in zip(EXPECTATIONS, validated, strict=True):
        if rule:
            found[rule] = {"holds": bool(result.success), "violations": result.result.get("unexpected_count") if counts else None}
    return found


def without_ids(suite):
    suite.pop("id", None)
    for expectation in suite["expectations"]:
        expectation.pop("id", None)
    return suite


def great_expectations_1():
    from great_expectations.expectations.registry import get_expectation_impl

    context = gx.get_context(mode="ephemeral")
    suite = context.suites.add(gx.ExpectationSuite(name="flights"))
    for _, kind, kwargs, _ in EXPECTATIONS:
        suite.add_expectation(get_expectation_impl(kind)(**kwargs))
    asset = context.data_sources.add_pandas("flights").add_dataframe_asset("flights")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": FLIGHTS.astype(NUMBERS)})
    by_kwargs = {}
    for result in batch.validate(suite).results:
        config = result.expectation_config.to_json_dict()
        by_kwargs[config["type"], json.dumps(plain(config["kwargs"]), sort_keys=True)] = result
    written = without_ids(suite.to_json_dict())
    order = [by_kwargs[e["type"], json.dumps(plain(e["kwargs"]), sort_keys=True)] for e in written["expectations"]]
    write("great-expectations-1.json", written)
    write("great-expectations-1.results.json", results(order))


def plain(kwargs):
    return {name: value for name, value in kwargs.items() if name != "batch_id"}


def great_expectations_0():
    from great_expectations.core import ExpectationConfiguration, ExpectationSuite

    expectations = [ExpectationConfiguration(expectation_type=kind, kwargs=dict(kwargs)) for _, kind, kwargs, _ in EXPECTATIONS]
    suite = ExpectationSuite(expectation_suite_name="flights", expectations=expectations)
    context = gx.get_context(mode="ephemeral")
    asset = context.sources.add_pandas("flights").add_dataframe_asset("flights")
    validator = context.get_validator(batch_request=asset.build_batch_request(dataframe=FLIGHTS.astype(NUMBERS)), expectation_suite=suite)
    write("great-expectations-0.json", without_ids(suite.to_json_dict()))
    write("great-expectations-0.results.json", results([expectation.validate(validator) for expectation in suite.expectations]))


def pandera():
    import pandera.pandas as pa
    from pandera.pandas import Check, Column, DataFrameSchema

    schema = DataFrameSchema(
        {
            "origin": Column(str, Check.isin(["SEA", "PDX"])),
            "dest": Column(str, [Check.str_length(3, 3), Check.notin(["ORD", "LAX"]), Check.str_startswith("S")]),
            "carrier": Column(str, [Check.str_matches("[A-Z]"), Check.str_matches("[A-Z]{2}$"), Check.str_contains("A"), Check.str_endswith("S")]),
            "tailnum": Column(str, unique=True),
            "dep_delay": Column("Int32", Check.in_range(-30, 1200, include_max=False), nullable=True),
            "arr_delay": Column("Int32", [Check.greater_than(-60), Check.less_than_or_equal_to(1000), Check.ge(-70, ignore_na=False)], nullable=True),
            "air_time": Column("Int32", Check.lt(500)),
            "distance": Column("Int32", [Check.ne(100), Check.gt(50)], coerce=True),
            "year": Column("Int32", Check.eq(2016), unique=False),
            "month": Column("Int32"),
            "day": Column("Int32"),
            "flight": Column("Int32", Check(lambda values: values > 0)),
            "gate": Column(str, required=False),
            "^h.*": Column("Int32", nullable=True, regex=True),
        },
        unique=["year", "month", "day", "carrier", "flight", "origin"],
        strict="filter",
        name="flights",
    )
    (HERE / "pandera.json").write_text(json.dumps(json.loads(schema.to_json()), indent=1, sort_keys=True) + "\n")
    # The rule, and the column and the check of pandera's report.
    rules = {
        "origin_isin": ("origin", "isin(['SEA', 'PDX'])"),
        "dest_str_length": ("dest", "str_length(3, 3)"),
        "dest_notin": ("dest", "notin(['ORD', 'LAX'])"),
        "dest_str_startswith": ("dest", "str_startswith('S')"),
        "carrier_str_matches": ("carrier", "str_matches('[A-Z]')"),
        "carrier_str_matches_2": ("carrier", "str_matches('[A-Z]{2}$')"),
        "carrier_str_contains": ("carrier", "str_contains('A')"),
        "carrier_str_endswith": ("carrier", "str_endswith('S')"),
        "dep_delay_in_range": ("dep_delay", "in_range(-30, 1200)"),
        "arr_delay_greater_than": ("arr_delay", "greater_than(-60)"),
        "arr_delay_less_than_or_equal_to": ("arr_delay", "less_than_or_equal_to(1000)"),
        "air_time_less_than": ("air_time", "less_than(500)"),
        "air_time_not_null": ("air_time", "not_nullable"),
        "distance_not_equal_to": ("distance", "not_equal_to(100)"),
        "distance_greater_than": ("distance", "greater_than(50)"),
        "year_equal_to": ("year", "equal_to(2016)"),
        "origin_not_null": ("origin", "not_nullable"),
    }
    try:
        schema.validate(FLIGHTS.copy(), lazy=True)
        failures = pd.DataFrame({"column": [], "check": []})
    except pa.errors.SchemaErrors as errors:
        failures = errors.failure_cases
    found = {}
    for rule, (column, check) in rules.items():
        count = int(((failures["column"] == column) & (failures["check"] == check)).sum())
        found[rule] = {"holds": count == 0, "violations": count}
    # pandera counts every row of a key that comes twice; a contract those beyond the first.
    for rule, check in (("tailnum_unique", "field_uniqueness"), ("year_month_day_carrier_flight_origin_unique", "multiple_fields_uniqueness")):
        found[rule] = {"holds": check not in set(failures["check"]), "violations": None}
    write("pandera.results.json", found)


tool = version("great_expectations")
assert tool in ("1.24.1", "0.18.22"), f"great_expectations is {tool}, but the goldens are made with 1.24.1 and 0.18.22"
if tool.startswith("0."):
    great_expectations_0()
else:
    assert version("pandera") == "0.35.0", f"pandera is {version('pandera')}, but the goldens are made with 0.35.0"
    great_expectations_1()
    pandera()

/** A single value. An integer beyond 2^53 is a bigint. */
export type Scalar = number | bigint | boolean | string | null;
/** The inputs of one prediction by name; null, undefined and a name left out are a missing value. */
export type Row = Record<string, Scalar | undefined>;
/** The outputs of one row: `label` and `probabilities` of a classifier, any other output by its name. */
export type Prediction = Record<string, Scalar | Scalar[]>;
/** An argument of a function: an array is a list, or a column of an aggregate. A timestamp is a Date, text in UTC, or
 * microseconds since 1970. */
export type Argument = Scalar | Date | Scalar[] | undefined;
/** The result of a function; some aggregates give a record. */
export type Result = Scalar | Scalar[] | Record<string, Scalar>;

/** What a model takes and gives. */
export interface Signature {
  name: string;
  /** SHA-256 of the bundle, in hex. */
  digest: string;
  /** `feature` is `view:feature` where the input is fed from a feature view. */
  inputs: { name: string; type: string; feature: string | null }[];
  /** `width` is null for one value a row. */
  outputs: { name: string; type: string; role: "label" | "probabilities" | "value"; width: number | null; classes: Scalar[] | null }[];
}

/** A function of the catalog, as the reference describes it. */
export interface CatalogFunction {
  name: string;
  aliases: string[];
  kind: "scalar" | "aggregate";
  args: { name: string; type: string; about: string; default: string | null }[];
  returns: string;
  signature: string;
  short: string;
}

//! An as-of join as a message: plain data from which another process builds the operator again.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::{JoinType, Result, plan_datafusion_err, plan_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::build_join_schema;
use datafusion::prelude::Expr;
use datafusion_proto::bytes::Serializeable;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::exec::AsOfJoinExec;
use super::instant::{Scale, scale};
use super::node::{AsOfJoin, Direction, Match, Tolerance};
use super::rule::{Rule, Side, Wide};

/// An expression in DataFusion's protobuf form.
type Bytes = Vec<u8>;

/// The operator without its inputs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PhysicalMessage {
    left: Sent,
    right: Sent,
    /// The right side that is read again where there are ties, and where the right columns are in it.
    wide: Option<(Sent, Vec<usize>)>,
    ties: Vec<Bytes>,
    direction: Toward,
    tolerance: Option<Limit>,
    text: String,
    projection: Option<Vec<usize>>,
}

/// The logical node without its inputs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LogicalMessage {
    on: Vec<(Bytes, Bytes)>,
    time: (Bytes, Bytes),
    ties: Vec<Bytes>,
    direction: Toward,
    tolerance: Option<Limit>,
}

/// The keys and the time of one input.
#[derive(Debug, Serialize, Deserialize)]
struct Sent {
    keys: Vec<Bytes>,
    time: Bytes,
}

#[derive(Debug, Serialize, Deserialize)]
enum Toward {
    Backward { equal: bool },
    Forward { equal: bool },
    Nearest,
}

/// Numbers that JSON would round.
#[derive(Debug, Serialize, Deserialize)]
enum Limit {
    Whole(String),
    Bits(u64),
}

/// How expressions become bytes and come back.
#[derive(Clone, Copy)]
pub(crate) struct Expressions<'a> {
    pub(crate) codec: &'a dyn PhysicalExtensionCodec,
    pub(crate) converter: &'a dyn PhysicalProtoConverterExtension,
}

impl Expressions<'_> {
    fn write(self, expr: &Arc<dyn PhysicalExpr>) -> Result<Bytes> {
        Ok(self.converter.physical_expr_to_proto(expr, self.codec)?.encode_to_vec())
    }

    fn read(self, bytes: &[u8], schema: &Schema, context: &TaskContext) -> Result<Arc<dyn PhysicalExpr>> {
        let node = PhysicalExprNode::decode(bytes)
            .map_err(|error| plan_datafusion_err!("an expression of an as-of join cannot be read: {error}"))?;
        self.converter.proto_to_physical_expr(&node, schema, &PhysicalPlanDecodeContext::new(context, self.codec))
    }

    fn write_side(self, side: &Side) -> Result<Sent> {
        let keys = side.keys.iter().map(|key| self.write(key)).collect::<Result<_>>()?;
        Ok(Sent { keys, time: self.write(&side.time)? })
    }

    fn read_side(self, side: &Sent, schema: &Schema, context: &TaskContext) -> Result<Side> {
        let keys = side.keys.iter().map(|key| self.read(key, schema, context)).collect::<Result<_>>()?;
        Ok(Side { keys, time: self.read(&side.time, schema, context)? })
    }
}

impl PhysicalMessage {
    pub(crate) fn of(join: &AsOfJoinExec, expressions: Expressions<'_>) -> Result<Self> {
        let rule = &join.rule;
        let wide = match &rule.wide {
            Some(wide) => Some((expressions.write_side(&wide.side)?, wide.columns.clone())),
            None => None,
        };
        Ok(Self {
            left: expressions.write_side(&rule.left)?,
            right: expressions.write_side(&rule.right)?,
            wide,
            ties: rule.ties.iter().map(|tie| expressions.write(tie)).collect::<Result<_>>()?,
            direction: rule.direction.into(),
            tolerance: rule.tolerance.map(Limit::from),
            text: rule.text.clone(),
            projection: join.projection.clone(),
        })
    }

    /// The join of these inputs. What does not fit them is an error, for a message may come from anywhere.
    pub(crate) fn join(
        self,
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        expressions: Expressions<'_>,
    ) -> Result<AsOfJoinExec> {
        let (left, right, wide) = match (inputs, &self.wide) {
            ([left, right], None) => (left, right, None),
            ([left, right, wide], Some(_)) => (left, right, Some(wide)),
            _ => return plan_err!("an as-of join came with {} inputs", inputs.len()),
        };
        let (left_schema, right_schema) = (left.schema(), right.schema());
        let left_side = expressions.read_side(&self.left, &left_schema, context)?;
        let right_side = expressions.read_side(&self.right, &right_schema, context)?;
        check(&left_side, &left_schema, &right_side, &right_schema)?;
        let mut tie_schema = Arc::clone(&right_schema);
        let mut wide_side = None;
        if let (Some(wide), Some((side, columns))) = (wide, self.wide) {
            tie_schema = wide.schema();
            let side = expressions.read_side(&side, &tie_schema, context)?;
            check(&side, &tie_schema, &right_side, &right_schema)?;
            let same = columns.len() == right_schema.fields().len()
                && columns.iter().zip(right_schema.fields()).all(|(column, field)| {
                    tie_schema.fields().get(*column).is_some_and(|own| own.data_type() == field.data_type())
                });
            if !same {
                return plan_err!("the right side of an as-of join is not among what it reads for ties");
            }
            wide_side = Some(Wide { side, columns });
        }
        let ties =
            self.ties.iter().map(|tie| expressions.read(tie, &tie_schema, context)).collect::<Result<Vec<_>>>()?;
        for tie in &ties {
            tie.data_type(&tie_schema)?;
        }
        let rule = Rule {
            left: left_side,
            right: right_side,
            wide: wide_side,
            ties,
            direction: self.direction.into(),
            tolerance: self.tolerance.map(Tolerance::try_from).transpose()?,
            output: Vec::new(),
            text: self.text,
        };
        let (joined, _) = build_join_schema(&left_schema, &right_schema, &JoinType::Left);
        let wide = wide.map(Arc::clone);
        AsOfJoinExec::try_new(Arc::clone(left), Arc::clone(right), wide, rule, Arc::new(joined), self.projection)
    }
}

/// Keys of both sides are compared by their bits, so they are of one type; times are of one scale, or numbers.
fn check(a: &Side, a_schema: &Schema, b: &Side, b_schema: &Schema) -> Result<()> {
    let mut fit = a.keys.len() == b.keys.len()
        && match (scale(&a.time.data_type(a_schema)?), scale(&b.time.data_type(b_schema)?)) {
            (Some(Scale::Integer | Scale::Float), Some(Scale::Integer | Scale::Float)) => true,
            (Some(a), Some(b)) => a == b,
            _ => false,
        };
    for (a, b) in a.keys.iter().zip(&b.keys) {
        fit &= a.data_type(a_schema)? == b.data_type(b_schema)?;
    }
    if fit { Ok(()) } else { plan_err!("the two sides of an as-of join have keys or times of different types") }
}

impl LogicalMessage {
    pub(crate) fn of(join: &AsOfJoin) -> Result<Self> {
        let write = |expr: &Expr| Ok::<_, datafusion::error::DataFusionError>(expr.to_bytes()?.to_vec());
        let Match { on, time, direction, tolerance, ties } = &join.rule;
        Ok(Self {
            on: on.iter().map(|(left, right)| Ok((write(left)?, write(right)?))).collect::<Result<_>>()?,
            time: (write(&time.0)?, write(&time.1)?),
            ties: ties.iter().map(|tie| write(&Expr::Column(tie.clone()))).collect::<Result<_>>()?,
            direction: (*direction).into(),
            tolerance: tolerance.map(Limit::from),
        })
    }

    /// The join of these inputs.
    pub(crate) fn join(self, inputs: &[LogicalPlan], context: &TaskContext) -> Result<AsOfJoin> {
        let (left, right, wide) = match inputs {
            [left, right] => (left, right, None),
            [left, right, wide] => (left, right, Some(wide.clone())),
            _ => return plan_err!("an as-of join came with {} inputs", inputs.len()),
        };
        let read = |bytes: &Bytes| Expr::from_bytes_with_ctx(bytes, context);
        let ties = self.ties.iter().map(|tie| match read(tie)? {
            Expr::Column(column) => Ok(column),
            other => plan_err!("{other} is no column that decides ties"),
        });
        let rule = Match {
            on: self.on.iter().map(|(left, right)| Ok((read(left)?, read(right)?))).collect::<Result<_>>()?,
            time: (read(&self.time.0)?, read(&self.time.1)?),
            direction: self.direction.into(),
            tolerance: self.tolerance.map(Tolerance::try_from).transpose()?,
            ties: ties.collect::<Result<_>>()?,
        };
        AsOfJoin::of(left.clone(), right.clone(), wide, rule)
    }
}

impl From<Direction> for Toward {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Backward { equal } => Self::Backward { equal },
            Direction::Forward { equal } => Self::Forward { equal },
            Direction::Nearest => Self::Nearest,
        }
    }
}

impl From<Toward> for Direction {
    fn from(toward: Toward) -> Self {
        match toward {
            Toward::Backward { equal } => Self::Backward { equal },
            Toward::Forward { equal } => Self::Forward { equal },
            Toward::Nearest => Self::Nearest,
        }
    }
}

impl From<Tolerance> for Limit {
    fn from(tolerance: Tolerance) -> Self {
        match tolerance {
            Tolerance::Whole(limit) => Self::Whole(limit.to_string()),
            Tolerance::Float(limit) => Self::Bits(limit.to_bits()),
        }
    }
}

impl TryFrom<Limit> for Tolerance {
    type Error = datafusion::error::DataFusionError;

    fn try_from(limit: Limit) -> Result<Self> {
        match limit {
            Limit::Bits(bits) => Ok(Self::Float(f64::from_bits(bits))),
            Limit::Whole(text) => {
                text.parse().map(Self::Whole).or_else(|_| plan_err!("`{text}` is not the tolerance of an as-of join"))
            }
        }
    }
}

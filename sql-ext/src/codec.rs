//! Our operators as bytes, for engines that run a plan in several processes.
//!
//! A cluster gives these codecs to its scheduler and its executors, and registers our functions in their sessions
//! ([`skewless_udf::register_all`]): a plan names functions, and each process finds them in its own registry.
//!
//! - **Ballista**: `with_ballista_physical_extension_codec(SkewlessPhysicalCodec::over(…))` and its logical twin on the
//!   session config, each over Ballista's own codec, so that shuffle operators are still Ballista's business.
//! - **datafusion-distributed**: `with_distributed_user_codec(SkewlessPhysicalCodec::default())` on the session state of
//!   the coordinator and of every worker.
//!
//! A training set travels with the definitions of its views, so the registry of views is not needed on the other side.
//! What neither codec knows is left to the codec inside.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result, TableReference, plan_err};
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, Extension, LogicalPlan, ScalarUDF, WindowUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::{DefaultLogicalExtensionCodec, LogicalExtensionCodec};
use datafusion_proto::physical_plan::{
    DefaultPhysicalExtensionCodec, PhysicalExtensionCodec, PhysicalProtoConverterExtension,
};
use serde::{Deserialize, Serialize};

use crate::asof::{AsOfJoin, AsOfJoinExec, Expressions, LogicalMessage, PhysicalMessage};
use crate::training::{Message as TrainingSetMessage, Sequential, TrainingSet, TrainingSetExec};
use crate::validate::{ExactDrift, ExactDriftExec, ExactDriftSpec};

/// What a message of ours begins with; anything else is for the codec inside.
const MAGIC: &[u8] = b"skewless 1\n";

/// One operator without its inputs.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    TrainingSet(TrainingSetMessage),
    AsOfJoin(PhysicalMessage),
    LogicalAsOfJoin(LogicalMessage),
    ExactDrift(ExactDriftSpec),
    Sequential,
}

impl Message {
    fn write(&self, to: &mut Vec<u8>) -> Result<()> {
        to.extend_from_slice(MAGIC);
        serde_json::to_writer(to, self).map_err(|error| DataFusionError::External(Box::new(error)))
    }

    /// `None` for a message that is not ours.
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(json) = bytes.strip_prefix(MAGIC) else { return Ok(None) };
        match serde_json::from_slice(json) {
            Ok(message) => Ok(Some(message)),
            Err(error) => {
                plan_err!("a message with an operator of Skewless cannot be read ({error}); run one build everywhere")
            }
        }
    }
}

/// Physical operators as bytes: the training set, the as-of join, exact drift, and the reading of partitions one after
/// another.
#[derive(Debug)]
pub struct SkewlessPhysicalCodec {
    inside: Arc<dyn PhysicalExtensionCodec>,
}

impl SkewlessPhysicalCodec {
    /// Ours before another codec, which gets everything else.
    pub fn over(inside: Arc<dyn PhysicalExtensionCodec>) -> Self {
        Self { inside }
    }
}

impl Default for SkewlessPhysicalCodec {
    fn default() -> Self {
        Self::over(Arc::new(DefaultPhysicalExtensionCodec {}))
    }
}

impl PhysicalExtensionCodec for SkewlessPhysicalCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (Message::read(buf)?, inputs) {
            (None, inputs) => self.inside.try_decode(buf, inputs, ctx, proto_converter),
            (Some(Message::TrainingSet(message)), [spine, sources @ ..]) => {
                let spec = message.spec(&spine.schema(), ctx)?;
                Ok(Arc::new(TrainingSetExec::new(Arc::clone(spine), sources.to_vec(), Arc::new(spec))?))
            }
            (Some(Message::AsOfJoin(message)), inputs) => {
                let expressions = Expressions { codec: self, converter: proto_converter };
                Ok(Arc::new(message.join(inputs, ctx, expressions)?))
            }
            (Some(Message::ExactDrift(spec)), inputs) => {
                Ok(Arc::new(ExactDriftExec::new(inputs.to_vec(), Arc::new(spec))?))
            }
            (Some(Message::Sequential), [input]) => Ok(Arc::new(Sequential::new(Arc::clone(input)))),
            (Some(_), inputs) => plan_err!("an operator of Skewless came with {} inputs", inputs.len()),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        if let Some(set) = node.downcast_ref::<TrainingSetExec>() {
            return Message::TrainingSet(TrainingSetMessage::of(set.spec())?).write(buf);
        }
        if let Some(join) = node.downcast_ref::<AsOfJoinExec>() {
            let expressions = Expressions { codec: self, converter: proto_converter };
            return Message::AsOfJoin(PhysicalMessage::of(join, expressions)?).write(buf);
        }
        if let Some(drift) = node.downcast_ref::<ExactDriftExec>() {
            return Message::ExactDrift(drift.spec().as_ref().clone()).write(buf);
        }
        if node.downcast_ref::<Sequential>().is_some() {
            return Message::Sequential.write(buf);
        }
        self.inside.try_encode(node, buf, proto_converter)
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.inside.try_decode_udf(name, buf)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.inside.try_encode_udf(node, buf)
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.inside.try_decode_udaf(name, buf)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.inside.try_encode_udaf(node, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.inside.try_decode_udwf(name, buf)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.inside.try_encode_udwf(node, buf)
    }
}

/// Logical operators as bytes: the training set, the as-of join and exact drift.
#[derive(Debug)]
pub struct SkewlessLogicalCodec {
    inside: Arc<dyn LogicalExtensionCodec>,
}

impl SkewlessLogicalCodec {
    /// Ours before another codec, which gets everything else: tables and file formats are its business.
    pub fn over(inside: Arc<dyn LogicalExtensionCodec>) -> Self {
        Self { inside }
    }
}

impl Default for SkewlessLogicalCodec {
    fn default() -> Self {
        Self::over(Arc::new(DefaultLogicalExtensionCodec {}))
    }
}

impl LogicalExtensionCodec for SkewlessLogicalCodec {
    fn try_decode(&self, buf: &[u8], inputs: &[LogicalPlan], ctx: &TaskContext) -> Result<Extension> {
        match (Message::read(buf)?, inputs) {
            (None, inputs) => self.inside.try_decode(buf, inputs, ctx),
            (Some(Message::TrainingSet(message)), [spine, ..]) => {
                let spec = message.spec(spine.schema().as_arrow(), ctx)?;
                Ok(Extension { node: Arc::new(TrainingSet::new(inputs.to_vec(), Arc::new(spec))?) })
            }
            (Some(Message::LogicalAsOfJoin(message)), inputs) => {
                Ok(Extension { node: Arc::new(message.join(inputs, ctx)?) })
            }
            (Some(Message::ExactDrift(spec)), inputs) => {
                Ok(Extension { node: Arc::new(ExactDrift::with_spec(inputs.to_vec(), Arc::new(spec))?) })
            }
            (Some(_), inputs) => plan_err!("an operator of Skewless came with {} inputs", inputs.len()),
        }
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> Result<()> {
        if let Some(set) = node.node.as_any().downcast_ref::<TrainingSet>() {
            return Message::TrainingSet(TrainingSetMessage::of(set.spec())?).write(buf);
        }
        if let Some(join) = node.node.as_any().downcast_ref::<AsOfJoin>() {
            return Message::LogicalAsOfJoin(LogicalMessage::of(join)?).write(buf);
        }
        if let Some(drift) = node.node.as_any().downcast_ref::<ExactDrift>() {
            return Message::ExactDrift(drift.spec().as_ref().clone()).write(buf);
        }
        self.inside.try_encode(node, buf)
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        table_ref: &TableReference,
        schema: SchemaRef,
        ctx: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        self.inside.try_decode_table_provider(buf, table_ref, schema, ctx)
    }

    fn try_encode_table_provider(
        &self,
        table_ref: &TableReference,
        node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        self.inside.try_encode_table_provider(table_ref, node, buf)
    }

    fn try_decode_file_format(&self, buf: &[u8], ctx: &TaskContext) -> Result<Arc<dyn FileFormatFactory>> {
        self.inside.try_decode_file_format(buf, ctx)
    }

    fn try_encode_file_format(&self, buf: &mut Vec<u8>, node: Arc<dyn FileFormatFactory>) -> Result<()> {
        self.inside.try_encode_file_format(buf, node)
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.inside.try_decode_udf(name, buf)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.inside.try_encode_udf(node, buf)
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.inside.try_decode_udaf(name, buf)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.inside.try_encode_udaf(node, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.inside.try_decode_udwf(name, buf)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.inside.try_encode_udwf(node, buf)
    }
}

#[cfg(test)]
mod tests;

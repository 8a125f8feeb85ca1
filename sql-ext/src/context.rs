//! The session that every entry uses: DataFusion's, with our functions, planners, feature views and models.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::Optimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::relation::Relations;
use crate::{ContractRegistry, Error, ModelRegistry, Project, Result, ViewRegistry};

/// What models run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A WebGPU adapter; models that it cannot run stay on the processor.
    Gpu,
}

/// How a session is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What models run on unless their own options say otherwise.
    pub device: Device,
    /// How many partitions a query is spread over; `None` for one per processor core.
    pub target_partitions: Option<usize>,
    /// Rows in a batch; `None` for DataFusion's own choice.
    pub batch_size: Option<usize>,
    /// The project whose definitions are loaded; see [`Project::find`].
    pub project: Option<PathBuf>,
}

/// What the session's functions and planners share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) views: ViewRegistry,
    pub(crate) models: ModelRegistry,
    pub(crate) contracts: ContractRegistry,
    pub(crate) device: Device,
}

/// A session of Skewless SQL.
#[derive(Clone)]
pub struct SkewlessContext {
    session: SessionContext,
    shared: Arc<Shared>,
    project: Option<Project>,
}

impl std::fmt::Debug for SkewlessContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SkewlessContext").field("project", &self.project).finish_non_exhaustive()
    }
}

impl SkewlessContext {
    /// Makes a session and loads the project's definitions.
    pub async fn new(options: Options) -> Result<Self> {
        for (what, value) in [("target_partitions", options.target_partitions), ("batch_size", options.batch_size)] {
            if value == Some(0) {
                return Err(DataFusionError::Configuration(format!("{what} must be at least 1")).into());
            }
        }
        let project = options.project.as_deref().map(Project::open).transpose()?;
        let shared = Arc::new(Shared { device: options.device, ..Shared::default() });

        let mut config = SessionConfig::new().with_information_schema(true);
        if let Some(partitions) = options.target_partitions {
            config = config.with_target_partitions(partitions);
        }
        if let Some(rows) = options.batch_size {
            config = config.with_batch_size(rows);
        }
        // A spine's order is its own ORDER BY, so a subquery keeps it; errors point at their place in the text.
        config.options_mut().sql_parser.enable_subquery_sort_elimination = false;
        config.options_mut().sql_parser.collect_spans = true;

        let mut extension_planners = crate::asof::extension_planners();
        extension_planners.extend(crate::training::extension_planners());
        extension_planners.extend(crate::label::extension_planners());
        extension_planners.extend(crate::audit::extension_planners());
        extension_planners.extend(crate::validate::extension_planners());
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_optimizer_rules(crate::asof::optimizer_rules(Optimizer::new().rules))
            .with_optimizer_rule(crate::training::optimizer_rule())
            .with_physical_optimizer_rule(crate::training::physical_optimizer_rule())
            .with_query_planner(Arc::new(Planner { extension_planners }))
            .build();
        state.register_relation_planner(Arc::new(Relations::new(Arc::clone(&shared))))?;
        skewless_udf::register_all(&mut state)?;
        crate::split::register(&mut state)?;
        crate::validate::register(&mut state)?;
        crate::contract::register(&mut state)?;
        crate::score::register(&mut state, &shared)?;

        let context = Self { session: SessionContext::new_with_state(state).enable_url_table(), shared, project };
        if let Some(project) = &context.project {
            for (file, text) in project.definitions()? {
                for statement in context.parse_definition(&text, &file, project.root())? {
                    context.run(statement).await?;
                }
            }
        }
        Ok(context)
    }

    /// The DataFusion session behind this one. Statements given to it directly bypass our DDL and `ASOF JOIN`.
    pub fn session(&self) -> &SessionContext {
        &self.session
    }

    /// The session's feature views.
    pub fn views(&self) -> &ViewRegistry {
        &self.shared.views
    }

    /// The session's models.
    pub fn models(&self) -> &ModelRegistry {
        &self.shared.models
    }

    /// The session's data contracts.
    pub fn contracts(&self) -> &ContractRegistry {
        &self.shared.contracts
    }

    /// The project whose definitions were loaded.
    pub fn project(&self) -> Option<&Project> {
        self.project.as_ref()
    }

    /// What models run on unless their own options say otherwise.
    pub fn device(&self) -> Device {
        self.shared.device
    }

    /// The folder that relative locations of typed statements are read from.
    pub(crate) fn working_folder() -> Result<PathBuf> {
        std::env::current_dir().map_err(|error| Error::Project {
            path: Path::new(".").to_owned(),
            reason: format!("the current folder cannot be read: {error}"),
        })
    }
}

/// DataFusion's planner plus our operators.
struct Planner {
    extension_planners: Vec<Arc<dyn ExtensionPlanner + Send + Sync>>,
}

impl std::fmt::Debug for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planner").finish_non_exhaustive()
    }
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(self.extension_planners.clone())
            .create_physical_plan(plan, session)
            .await
    }
}

//! The front door: a text of statements in, their outcomes out.
//!
//! Each statement goes parse → our DDL → rewrite → plan. [`SkewlessContext::sql`] does all of a text;
//! a caller that must read one statement's rows before the next one runs uses [`SkewlessContext::parse`] and
//! [`SkewlessContext::run`].

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{plan_datafusion_err, plan_err};
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{DdlStatement, DmlStatement, LogicalPlan, Statement as PlanStatement, WriteOp};
use datafusion::sql::parser::{CopyToSource, DFParserBuilder, Statement as SqlStatement};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, JoinOperator, Query, Select, Statement as AstStatement, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use datafusion::prelude::Expr;
use skewless_catalog::Kind as CatalogKind;
use skewless_catalog::suggest::did_you_mean;

use crate::ddl::{self, Ddl};
use crate::error::{Place, describe};
use crate::{Error, Result, SkewlessContext, manifest, object_stores, project, relation};

/// What a statement came to.
#[derive(Debug)]
pub enum Outcome {
    /// A query: its rows are computed when they are read.
    Rows(DataFrame),
    /// Anything else has been done; the text says what, for a person.
    Done(String),
}

/// One parsed statement and where it stands.
#[derive(Clone, Debug)]
pub struct Statement {
    kind: Kind,
    text: String,
    place: Place,
    file: Option<Arc<Path>>,
    base: Option<Arc<Path>>,
}

#[derive(Clone, Debug)]
enum Kind {
    Ours(Ddl),
    Sql(Box<SqlStatement>),
}

impl Statement {
    /// The statement's text as it was written, without the semicolon.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl SkewlessContext {
    /// Runs the statements of a text in order.
    ///
    /// Rows are computed when a caller reads them, which is after the last statement has run; where a later statement
    /// changes what an earlier query reads, use [`SkewlessContext::parse`] and [`SkewlessContext::run`] instead.
    pub async fn sql(&self, text: &str) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for statement in self.parse(text)? {
            outcomes.push(self.run(statement).await?);
        }
        Ok(outcomes)
    }

    /// Parses a text of statements separated by semicolons, without running any.
    pub fn parse(&self, text: &str) -> Result<Vec<Statement>> {
        self.parse_text(text, None, None)
    }

    /// Parses a file of definitions, whose relative locations start at `base`.
    pub(crate) fn parse_definition(&self, text: &str, file: &Path, base: &Path) -> Result<Vec<Statement>> {
        self.parse_text(text, Some(&Arc::from(file)), Some(&Arc::from(base)))
    }

    fn parse_text(&self, text: &str, file: Option<&Arc<Path>>, base: Option<&Arc<Path>>) -> Result<Vec<Statement>> {
        let refuse = |message: String, place: Place, source: DataFusionError| Error::Statement {
            file: file.map(|file| file.to_path_buf()),
            line: place.line,
            column: place.column,
            message,
            source: Box::new(source),
        };
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().map_err(|error| {
            let place = Place { line: error.location.line, column: error.location.column };
            refuse(error.message.clone(), place, error_of(error.message))
        })?;
        let recursion_limit = self.session().copied_config().options().sql_parser.recursion_limit.get();
        let mut statements = Vec::new();
        for tokens in tokens.split(|token| token.token == Token::SemiColon) {
            let Some(first) = tokens.iter().find(|token| !is_space(token)) else { continue };
            let start = Place { line: first.span.start.line, column: first.span.start.column };
            let text = source(text, tokens);
            let kind = parse_one(tokens.to_vec(), recursion_limit).map_err(|error| {
                let (message, place) = describe(&error);
                refuse(message, place.unwrap_or(start), error)
            })?;
            statements.push(Statement { kind, text, place: start, file: file.cloned(), base: base.cloned() });
        }
        Ok(statements)
    }

    /// Plans one statement and, unless it is a query, runs it.
    pub async fn run(&self, statement: Statement) -> Result<Outcome> {
        let Statement { kind, place, file, base, text } = statement;
        let base: PathBuf = match base {
            Some(base) => base.to_path_buf(),
            None => Self::working_folder()?,
        };
        let outcome = match kind {
            Kind::Ours(ddl) => Box::pin(ddl::execute(ddl, self, &base)).await,
            Kind::Sql(sql) => Box::pin(self.run_sql(*sql, &text, &base)).await,
        };
        outcome.map_err(|error| {
            let (message, found) = self.explain(&error);
            let place = found.unwrap_or(place);
            Error::Statement {
                file: file.as_deref().map(Path::to_owned),
                line: place.line,
                column: place.column,
                message,
                source: Box::new(error),
            }
        })
    }

    /// Plans a query that one of our own statements holds.
    pub(crate) async fn plan_query(&self, mut query: Query) -> DataFusionResult<LogicalPlan> {
        rewrite_query(&mut query)?;
        let state = self.session().state();
        let sql = SqlStatement::Statement(Box::new(AstStatement::Query(Box::new(query))));
        for table in state.resolve_table_references(&sql)? {
            object_stores::register(self.session(), table.table())?;
        }
        let plan = state.statement_to_plan(sql).await?;
        check_streams(&plan)?;
        Ok(plan)
    }

    async fn run_sql(&self, mut sql: SqlStatement, text: &str, base: &Path) -> DataFusionResult<Outcome> {
        let state = self.session().state();
        if let SqlStatement::CreateExternalTable(table) = &mut sql {
            check_file_type(&state, &mut table.file_type)?;
            for location in &mut table.locations {
                *location = project::resolve(base, location);
            }
        }
        rewrite(&mut sql)?;
        for location in locations(&sql) {
            object_stores::register(self.session(), location)?;
        }
        for table in state.resolve_table_references(&sql)? {
            object_stores::register(self.session(), table.table())?;
        }
        let plan = state.statement_to_plan(sql).await?;
        check_streams(&plan)?;
        match plan {
            LogicalPlan::Ddl(DdlStatement::CreateExternalTable(table)) => {
                let done = format!("table {} created", table.name);
                let (location, file_type) = (table.locations.join(", "), table.file_type.clone());
                let plan = LogicalPlan::Ddl(DdlStatement::CreateExternalTable(table));
                self.session()
                    .execute_logical_plan(plan)
                    .await
                    .map_err(|error| name_location(error, &location, &file_type))?;
                Ok(Outcome::Done(done))
            }
            LogicalPlan::Ddl(ddl) => {
                let done = ddl_done(&ddl);
                self.session().execute_logical_plan(LogicalPlan::Ddl(ddl)).await?;
                Ok(Outcome::Done(done))
            }
            LogicalPlan::Statement(PlanStatement::Execute(_)) => {
                Ok(Outcome::Rows(self.session().execute_logical_plan(plan).await?))
            }
            LogicalPlan::Statement(statement) => {
                let done = statement_done(&statement);
                self.session().execute_logical_plan(LogicalPlan::Statement(statement)).await?;
                Ok(Outcome::Done(done))
            }
            LogicalPlan::Copy(copy) if manifest::writes_training_set(&copy)? => {
                let written = manifest::copied_query(self, copy, text).await?;
                Ok(Outcome::Done(format!("{}, with {}", rows_done(written.manifest.rows, "written"), written.location)))
            }
            LogicalPlan::Dml(_) | LogicalPlan::Copy(_) => {
                let verb = match &plan {
                    LogicalPlan::Dml(DmlStatement { op: WriteOp::Delete | WriteOp::Truncate, .. }) => "deleted",
                    LogicalPlan::Dml(DmlStatement { op: WriteOp::Update, .. }) => "updated",
                    _ => "written",
                };
                let rows = count(&self.session().execute_logical_plan(plan).await?.collect().await?);
                Ok(Outcome::Done(rows_done(rows, verb)))
            }
            query => Ok(Outcome::Rows(self.session().execute_logical_plan(query).await?)),
        }
    }
}

/// Refuses a detector of changes whose stream has no order.
fn check_streams(plan: &LogicalPlan) -> DataFusionResult<()> {
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::Window(window) = node else { return Ok(TreeNodeRecursion::Continue) };
        for expr in &window.window_expr {
            expr.apply(|expr| {
                let Expr::WindowFunction(call) = expr else { return Ok(TreeNodeRecursion::Continue) };
                let name = call.fun.name();
                let is_detector = skewless_catalog::find(name).is_ok_and(|function| function.kind() == CatalogKind::Window);
                if is_detector && call.params.order_by.is_empty() {
                    return plan_err!(
                        "{name} reads a stream, whose order is missing; write {name}(…) OVER ([PARTITION BY …] ORDER BY …)"
                    );
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// The locations that a statement reads or writes by itself.
fn locations(sql: &SqlStatement) -> &[String] {
    match sql {
        SqlStatement::CreateExternalTable(table) => &table.locations,
        SqlStatement::CopyTo(copy) => std::slice::from_ref(&copy.target),
        _ => &[],
    }
}

/// What a DDL statement did.
fn ddl_done(ddl: &DdlStatement) -> String {
    match ddl {
        DdlStatement::CreateMemoryTable(table) => format!("table {} created", table.name),
        DdlStatement::CreateView(view) => format!("view {} created", view.name),
        DdlStatement::DropTable(table) => format!("table {} dropped", table.name),
        DdlStatement::DropView(view) => format!("view {} dropped", view.name),
        other => format!("{} done", other.name()),
    }
}

/// What a statement about the session did.
fn statement_done(statement: &PlanStatement) -> String {
    match statement {
        PlanStatement::SetVariable(set) => format!("{} is {}", set.variable, set.value),
        PlanStatement::ResetVariable(reset) => format!("{} is back at its default", reset.variable),
        PlanStatement::Prepare(prepare) => format!("statement {} prepared", prepare.name),
        PlanStatement::Deallocate(deallocate) => format!("statement {} dropped", deallocate.name),
        other => format!("{} done", other.name()),
    }
}

/// How many rows a statement changed, in words.
fn rows_done(rows: u64, verb: &str) -> String {
    format!("{rows} {} {verb}", if rows == 1 { "row" } else { "rows" })
}

/// How many rows a statement changed, from the one-column table of counts that it returns.
fn count(batches: &[RecordBatch]) -> u64 {
    batches
        .iter()
        .filter_map(|batch| batch.columns().first()?.as_primitive_opt::<UInt64Type>())
        .flat_map(|counts| counts.iter().flatten())
        .sum()
}

/// Reads the file type as DataFusion spells it, and refuses one that it does not have.
fn check_file_type(state: &SessionState, file_type: &mut String) -> DataFusionResult<()> {
    // One JSON object a line is the JSON that DataFusion reads.
    if file_type == "NDJSON" {
        "JSON".clone_into(file_type);
    }
    let avro = state.get_file_format_factory("avro").is_some();
    let mut types: Vec<&str> = state.table_factories().keys().map(String::as_str).collect();
    types.retain(|name| avro || *name != "AVRO");
    if types.contains(&file_type.as_str()) {
        return Ok(());
    }
    types.sort_unstable();
    let hint = did_you_mean(file_type, types.iter().copied());
    plan_err!("a table cannot be stored as {file_type}{hint}; the types are {}", types.join(", "))
}

/// Says which file or folder it was that could not be read.
fn name_location(error: DataFusionError, location: &str, file_type: &str) -> DataFusionError {
    match error {
        DataFusionError::ParquetError(_)
        | DataFusionError::ArrowError(..)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_) => {
            let (message, _) = describe(&error);
            plan_datafusion_err!("`{location}` cannot be read as {file_type}: {message}")
        }
        error => error,
    }
}

fn error_of(message: String) -> DataFusionError {
    DataFusionError::SQL(Box::new(datafusion::sql::sqlparser::parser::ParserError::ParserError(message)), None)
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// The text that the tokens came from.
pub(crate) fn source(text: &str, tokens: &[TokenWithSpan]) -> String {
    let solid = || tokens.iter().filter(|token| !is_space(token));
    let (Some(first), Some(last)) = (solid().next(), solid().next_back()) else { return String::new() };
    let offset = |line: u64, column: u64| {
        let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1) as usize).map(str::len).sum();
        let rest = text.get(start..).unwrap_or_default();
        let within = rest.char_indices().nth(column.saturating_sub(1) as usize).map_or(rest.len(), |(at, _)| at);
        start + within
    };
    let start = offset(first.span.start.line, first.span.start.column);
    let end = offset(last.span.end.line, last.span.end.column);
    text.get(start..end).unwrap_or_default().trim_end().to_owned()
}

/// Parses the tokens of one statement, positions and all.
fn parse_one(tokens: Vec<TokenWithSpan>, recursion_limit: usize) -> DataFusionResult<Kind> {
    let dialect = GenericDialect {};
    let mut parser =
        DFParserBuilder::new(tokens).with_dialect(&dialect).with_recursion_limit(recursion_limit).build()?;
    let kind = match ddl::parse(&mut parser.parser)? {
        Some(ours) => Kind::Ours(ours),
        None => Kind::Sql(Box::new(parser.parse_statement()?)),
    };
    let next = parser.parser.peek_token();
    if next.token == Token::EOF {
        Ok(kind)
    } else {
        Err(error_of(format!(
            "`{next}` was not expected after the end of the statement; is a `;` missing?{}",
            next.span.start
        )))
    }
}

/// Rewrites what DataFusion cannot plan, at every nesting level.
fn rewrite(statement: &mut SqlStatement) -> DataFusionResult<()> {
    match statement {
        SqlStatement::Statement(statement) => visit(statement.as_mut()),
        SqlStatement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => rewrite_query(query),
            CopyToSource::Relation(_) => Ok(()),
        },
        SqlStatement::Explain(explain) => rewrite(&mut explain.statement),
        SqlStatement::CreateExternalTable(_) | SqlStatement::Reset(_) => Ok(()),
    }
}

/// Rewrites what DataFusion cannot plan in a query of our own DDL.
pub(crate) fn rewrite_query(query: &mut Query) -> DataFusionResult<()> {
    visit(query)
}

fn visit(ast: &mut impl VisitMut) -> DataFusionResult<()> {
    match VisitMut::visit(ast, &mut Rewrite::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// How deep an expression may be: `a OR b OR c` is two levels. Planning takes stack for each.
const DEEPEST: usize = 500;

/// How many joins one FROM may hold; each is planned inside the next one.
const MOST_JOINS: usize = 100;

/// Folds each join prefix that ends in `ASOF JOIN` into a nested join, which a `RelationPlanner` sees, and makes the
/// tables that our FROM-functions name visible to DataFusion.
///
/// DF-318: DataFusion 55 parses `ASOF JOIN` and refuses to plan it, and its planner hook gets table factors only.
/// Remove when DataFusion plans `ASOF JOIN` itself *and* breaks ties as `asof::` does; `grep DF-318` finds every site.
#[derive(Default)]
struct Rewrite {
    /// How many expressions hold the one that is visited.
    depth: usize,
}

impl VisitorMut for Rewrite {
    type Break = DataFusionError;

    fn pre_visit_expr(&mut self, _expr: &mut SqlExpr) -> ControlFlow<Self::Break> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return ControlFlow::Break(plan_datafusion_err!(
                "an expression is more than {DEEPEST} levels deep; write a long chain of OR as IN (…), \
                 and compute parts of others in a subquery"
            ));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _expr: &mut SqlExpr) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        let joins: usize = select.from.iter().map(|from| from.joins.len()).sum();
        if joins > MOST_JOINS {
            return ControlFlow::Break(plan_datafusion_err!(
                "FROM holds {joins} joins, more than {MOST_JOINS}; join parts of it in CREATE TABLE … AS first"
            ));
        }
        select.from.iter_mut().for_each(fold);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        relation::name_tables(factor);
        let TableFactor::NestedJoin { table_with_joins, .. } = factor else { return ControlFlow::Continue(()) };
        // One as-of join at the end is the folded form.
        let Some((last, before)) = table_with_joins.joins.split_last() else { return ControlFlow::Continue(()) };
        if is_as_of(&last.join_operator) && !before.iter().any(|join| is_as_of(&join.join_operator)) {
            return ControlFlow::Continue(());
        }
        let mut tail = if is_as_of(&last.join_operator) { table_with_joins.joins.pop() } else { None };
        fold(table_with_joins);
        table_with_joins.joins.extend(tail.take());
        ControlFlow::Continue(())
    }
}

fn is_as_of(operator: &JoinOperator) -> bool {
    matches!(operator, JoinOperator::AsOf { .. })
}

/// Folds every join prefix that ends in an as-of join.
fn fold(from: &mut TableWithJoins) {
    while let Some(at) = from.joins.iter().position(|join| is_as_of(&join.join_operator)) {
        let rest = from.joins.split_off(at + 1);
        let prefix = std::mem::replace(&mut from.joins, rest);
        let relation = std::mem::replace(&mut from.relation, nothing());
        from.relation = TableFactor::NestedJoin {
            table_with_joins: Box::new(TableWithJoins { relation, joins: prefix }),
            alias: None,
        };
    }
}

/// What stands in a table factor's place while it is moved.
fn nothing() -> TableFactor {
    TableFactor::UNNEST {
        alias: None,
        array_exprs: Vec::new(),
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Options, SkewlessContext};

    #[tokio::test]
    async fn statements_are_split_where_they_end_and_keep_their_place() {
        let context = SkewlessContext::new(Options::default()).await.unwrap();
        let text = "SELECT 'ä;' ; -- ;\n  ;; /* ; */ SELECT $$;$$, \"a;b\"\n FROM t;\n-- the end";
        let statements = context.parse(text).unwrap();
        let texts: Vec<&str> = statements.iter().map(super::Statement::text).collect();
        assert_eq!(texts, ["SELECT 'ä;'", "SELECT $$;$$, \"a;b\"\n FROM t"]);
        assert_eq!((statements[1].place.line, statements[1].place.column), (2, 14));
    }
}

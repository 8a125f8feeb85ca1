//! Lifts window aggregates, `agg(args) OVER (RANGE … PRECEDING)`, out of a feature view's SELECT list.
//!
//! DataFusion refuses a RANGE without ORDER BY, and here the order is the view's own event time. What is left of the
//! call in the SELECT list are its arguments, as columns of the rows.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident, Query, SelectItem,
    SetExpr, Visit, Visitor, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::parse::fold;

/// A lifted window aggregate.
#[derive(Clone, Debug)]
pub(super) struct Lifted {
    /// Name of the feature.
    pub(super) name: String,
    /// The call without OVER, its arguments replaced by columns of the rows.
    pub(super) call: Function,
    /// How far the window reaches back; `None` is UNBOUNDED.
    pub(super) range: Option<Expr>,
}

/// The SELECT list of a view's body in order: columns of the rows by name, and window aggregates.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each column of a SELECT list")]
pub(super) enum Item {
    Column(String),
    Window(Lifted),
    /// `*`: the columns come from the source.
    Wildcard,
}

/// Takes the window aggregates out of the body's SELECT list and puts their arguments in.
///
/// Returns the list as it was; `None` where the body is not a plain SELECT and thus has no list to lift from.
pub(super) fn lift(query: &mut Query) -> Result<Option<Vec<Item>>> {
    let SetExpr::Select(select) = query.body.as_mut() else {
        refuse_nested(query)?;
        return Ok(None);
    };
    let mut items = Vec::with_capacity(select.projection.len());
    let mut kept = Vec::with_capacity(select.projection.len());
    let mut hidden = Hidden::default();
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::ExprWithAlias { expr: Expr::Function(call), alias } if is_lifted(&call) => {
                items.push(Err((fold(alias), call)));
            }
            SelectItem::UnnamedExpr(Expr::Function(call)) if is_lifted(&call) => {
                return plan_err!("give the window aggregate a name: `{call} AS name`");
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let name = fold(alias.clone());
                hidden.columns.entry(expr.to_string()).or_insert_with(|| name.clone());
                items.push(Ok(Item::Column(name)));
                kept.push(SelectItem::ExprWithAlias { expr, alias });
            }
            SelectItem::UnnamedExpr(expr) => {
                let name = match &expr {
                    Expr::Identifier(ident) => fold(ident.clone()),
                    Expr::CompoundIdentifier(idents) => idents.last().cloned().map(fold).unwrap_or_default(),
                    other => return plan_err!("give the column a name: `{other} AS name`"),
                };
                hidden.columns.entry(expr.to_string()).or_insert_with(|| name.clone());
                items.push(Ok(Item::Column(name)));
                kept.push(SelectItem::UnnamedExpr(expr));
            }
            wildcard => {
                items.push(Ok(Item::Wildcard));
                kept.push(wildcard);
            }
        }
    }
    let items = items
        .into_iter()
        .map(|item| match item {
            Ok(item) => Ok(item),
            Err((name, call)) => hidden.lift(name, call).map(Item::Window),
        })
        .collect::<Result<Vec<_>>>()?;
    kept.extend(hidden.added);
    select.projection = kept;
    refuse_nested(query)?;
    Ok(Some(items))
}

/// Columns of the rows that hold window arguments.
#[derive(Default)]
struct Hidden {
    /// Name of the column by the text of its expression.
    columns: HashMap<String, String>,
    added: Vec<SelectItem>,
}

impl Hidden {
    fn lift(&mut self, name: String, mut call: Function) -> Result<Lifted> {
        let text = call.to_string();
        let Some(WindowType::WindowSpec(spec)) = call.over.take() else {
            return plan_err!("`{text}` names a window; write its RANGE in place");
        };
        let range = range(&spec, &text)?;
        if !call.within_group.is_empty() {
            return plan_err!("`{text}` has WITHIN GROUP, which a window aggregate of a feature view cannot have");
        }
        if let FunctionArguments::List(list) = &mut call.args {
            if list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_))) {
                return plan_err!(
                    "`{text}` has an ORDER BY of its own; a window feeds its rows in (event, available, tie) order, \
                     so leave it out"
                );
            }
            for (position, arg) in list.args.iter_mut().enumerate() {
                match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if !is_constant(expr) => {
                        *expr = self.column(&name, &position.to_string(), expr);
                    }
                    FunctionArg::Unnamed(_) => {}
                    other => return plan_err!("`{text}`: a window aggregate takes no named argument `{other}`"),
                }
            }
        }
        if let Some(filter) = call.filter.as_deref_mut() {
            *filter = self.column(&name, "filter", filter);
        }
        Ok(Lifted { name, call, range })
    }

    /// The column of the rows that holds the value of `expr`, added if there is none yet.
    fn column(&mut self, feature: &str, part: &str, expr: &Expr) -> Expr {
        let added = &mut self.added;
        let name = self.columns.entry(expr.to_string()).or_insert_with(|| {
            let name = format!("{feature}#{part}");
            added.push(SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name.clone()) });
            name
        });
        Expr::Identifier(Ident::with_quote('"', name.clone()))
    }
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) => true,
        Expr::UnaryOp { expr, .. } | Expr::Nested(expr) => is_constant(expr),
        _ => false,
    }
}

/// RANGE without ORDER BY is ours; every other window is DataFusion's.
fn is_lifted(call: &Function) -> bool {
    matches!(&call.over, Some(WindowType::WindowSpec(spec)) if spec.order_by.is_empty()
        && spec.window_frame.as_ref().is_some_and(|frame| frame.units == WindowFrameUnits::Range))
}

fn range(spec: &WindowSpec, text: &str) -> Result<Option<Expr>> {
    if !spec.partition_by.is_empty() {
        return plan_err!("`{text}` has PARTITION BY; a feature's windows are those of its entity, so leave it out");
    }
    if let Some(WindowFrame {
        units: WindowFrameUnits::Range,
        start_bound: WindowFrameBound::Preceding(range),
        end_bound: None | Some(WindowFrameBound::CurrentRow),
    }) = &spec.window_frame
    {
        Ok(range.as_deref().cloned())
    } else {
        plan_err!("the window of `{text}` ends at the as-of time: write `OVER (RANGE INTERVAL '…' PRECEDING)`")
    }
}

/// Whether the query has a window function, lifted ones apart.
pub(super) fn is_in(query: &Query) -> bool {
    find(query, |call| call.over.is_some()).is_some()
}

/// The first call in the query, at any depth, that is such.
fn find(query: &Query, such: fn(&Function) -> bool) -> Option<String> {
    struct Calls(fn(&Function) -> bool);

    impl Visitor for Calls {
        type Break = String;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
            match expr {
                Expr::Function(call) if (self.0)(call) => ControlFlow::Break(call.to_string()),
                _ => ControlFlow::Continue(()),
            }
        }
    }

    match query.visit(&mut Calls(such)) {
        ControlFlow::Continue(()) => None,
        ControlFlow::Break(call) => Some(call),
    }
}

/// A window aggregate inside another expression, or below the top, is refused.
fn refuse_nested(query: &Query) -> Result<()> {
    match find(query, is_lifted) {
        None => Ok(()),
        Some(call) => plan_err!(
            "the window aggregate `{call}` must be a column of its own in the view's SELECT list: `{call} AS name`; \
             compute with it in a view ON DEMAND"
        ),
    }
}

//! Feature references: `view`, `view:feature`, `view(key => spine_column)` and `view(…):feature AS alias`.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Word};

/// One reference, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) view: String,
    /// (key column of the view, column of the spine).
    pub(super) keys: Vec<(String, String)>,
    /// `None` for every feature of the view.
    pub(crate) feature: Option<String>,
    /// Stands for the view's name in the names of the columns.
    pub(super) alias: Option<String>,
}

impl Reference {
    /// Reads a reference; names are folded as SQL folds identifiers.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let malformed = || {
            plan_err!(
                "`{text}` is not a feature reference; write 'view', 'view:feature', or with keys of other names \
                 'view(key => spine_column):feature AS alias'"
            )
        };
        let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return malformed() };
        let mut tokens = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
        let mut reference = Self { view: String::new(), keys: Vec::new(), feature: None, alias: None };
        let Some(view) = tokens.next().and_then(name) else { return malformed() };
        reference.view = view;
        if tokens.next_if_eq(&Token::LParen).is_some() {
            loop {
                let Some(key) = tokens.next().and_then(name) else { return malformed() };
                let (Some(Token::RArrow), Some(column)) = (tokens.next(), tokens.next().and_then(name)) else {
                    return malformed();
                };
                reference.keys.push((key, column));
                match tokens.next() {
                    Some(Token::Comma) => {}
                    Some(Token::RParen) => break,
                    _ => return malformed(),
                }
            }
        }
        if tokens.next_if_eq(&Token::Colon).is_some() {
            let Some(feature) = tokens.next().and_then(name) else { return malformed() };
            reference.feature = Some(feature);
        }
        if tokens.next_if(|token| matches!(token, Token::Word(w) if is_as(w))).is_some() {
            let Some(alias) = tokens.next().and_then(name) else { return malformed() };
            reference.alias = Some(alias);
        }
        if tokens.next().is_some() { malformed() } else { Ok(reference) }
    }
}

fn is_as(word: &Word) -> bool {
    word.quote_style.is_none() && word.value.eq_ignore_ascii_case("as")
}

fn name(token: Token) -> Option<String> {
    match token {
        Token::Word(Word { value, quote_style: Some(_), .. }) => Some(value),
        Token::Word(Word { value, .. }) => Some(value.to_lowercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(view: &str, keys: &[(&str, &str)], feature: Option<&str>, alias: Option<&str>) -> Reference {
        Reference {
            view: view.to_owned(),
            keys: keys.iter().map(|(key, column)| ((*key).to_owned(), (*column).to_owned())).collect(),
            feature: feature.map(str::to_owned),
            alias: alias.map(str::to_owned),
        }
    }

    #[test]
    fn references_name_a_view_its_keys_and_a_feature() -> Result<()> {
        assert_eq!(Reference::parse("inbound")?, reference("inbound", &[], None, None));
        assert_eq!(Reference::parse("Inbound:Delay")?, reference("inbound", &[], Some("delay"), None));
        assert_eq!(
            Reference::parse("weather(origin => dest, \"K\" => k):wind AS there")?,
            reference("weather", &[("origin", "dest"), ("K", "k")], Some("wind"), Some("there"))
        );
        Ok(())
    }

    #[test]
    fn a_malformed_reference_shows_the_forms() {
        for text in ["", "a:", "a(b)", "a(b => )", "a:b:c", "a b", "a(b => c", "'a"] {
            let message = Reference::parse(text).map(|_| ()).expect_err(text).to_string();
            assert!(message.contains("view:feature"), "{text}: {message}");
        }
    }
}

//! Where statements end, as the shell sees it while one is typed.

/// Whether every statement in the text is ended by a semicolon, outside of quotes and comments.
///
/// A text of nothing but blanks and comments is ended too.
pub(super) fn is_ended(text: &str) -> bool {
    let mut characters = text.chars().peekable();
    let mut ended = true;
    while let Some(character) = characters.next() {
        match character {
            ';' => ended = true,
            '\'' | '"' | '`' => {
                ended = false;
                // A doubled quote closes and opens again.
                if !characters.by_ref().any(|next| next == character) {
                    return false;
                }
            }
            '-' if characters.peek() == Some(&'-') => {
                let _ = characters.by_ref().find(|next| *next == '\n');
            }
            '/' if characters.peek() == Some(&'*') => {
                characters.next();
                if !skip_block_comment(&mut characters) {
                    return false;
                }
            }
            blank if blank.is_whitespace() => {}
            _ => ended = false,
        }
    }
    ended
}

/// Skips a comment that may hold others; false where it does not end.
fn skip_block_comment(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let mut depth = 1;
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('*', Some('/')) => {
                characters.next();
                depth -= 1;
                if depth == 0 {
                    return true;
                }
            }
            ('/', Some('*')) => {
                characters.next();
                depth += 1;
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::is_ended;

    #[test]
    fn a_statement_ends_at_a_semicolon_outside_of_quotes_and_comments() {
        for ended in [
            "",
            "  \n",
            "SELECT 1;",
            "SELECT 1; -- done",
            "SELECT ';';",
            "SELECT 'it''s'; /* ; */",
            "-- only",
            "a;b;\n",
        ] {
            assert!(is_ended(ended), "{ended:?}");
        }
        for open in
            ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT 1 /* ;", "SELECT /* /* */ ; ", "a; b", "SELECT \"a;\""]
        {
            assert!(!is_ended(open), "{open:?}");
        }
    }
}

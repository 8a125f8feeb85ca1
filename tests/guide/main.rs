//! The guide's pages and the README are tests: what a page shows is what the product answers.
//!
//! In a Markdown file, a `sql` block runs in the flights project, and a `text` block right after it is what it prints. An
//! `http` block (a request line, then a body) is sent to the served application, and a `json` block right after it is the
//! answer's body; neither may be empty. Blocks of other kinds are prose. `SKEWLESS_BLESS=1` rewrites the answers instead of comparing them.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use skewless_tests::{Served, root, run};

/// A fenced block: its kind, its text and where the text stands in the page.
struct Block {
    kind: String,
    text: String,
    range: std::ops::Range<usize>,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = vec![];
    let mut open: Option<Block> = None;
    for (event, range) in Parser::new(page).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(kind))) => {
                open = Some(Block { kind: kind.to_string(), text: String::new(), range: 0..0 });
            }
            Event::Text(text) => {
                if let Some(block) = &mut open {
                    let start = if block.text.is_empty() { range.start } else { block.range.start };
                    block.range = start..range.end;
                    block.text.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(open.take()),
            _ => {}
        }
    }
    blocks
}

/// What a block answers, where it asks something; the kind of the block that shows it.
fn answer(block: &Block, served: &mut Option<Served>) -> Result<Option<(&'static str, String)>> {
    Ok(match block.kind.as_str() {
        "sql" => {
            let (code, rows, errors) = run(&["sql", "--project", "tests/guide/flights", "-c", &block.text])?;
            if code != 0 {
                bail!("the statement failed: {errors}\n{}", block.text);
            }
            Some(("text", rows))
        }
        "http" => {
            if served.is_none() {
                *served = Some(Served::start()?);
            }
            let url = &served.as_ref().context("the application was started")?.url;
            Some(("json", send(url, &block.text)?))
        }
        _ => None,
    })
}

fn send(url: &str, text: &str) -> Result<String> {
    let (line, body) = text.split_once('\n').unwrap_or((text, ""));
    let (method, path) = line.split_once(' ').with_context(|| format!("{line:?} is no request line"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        let request = reqwest::Client::builder()
            .no_proxy()
            .build()?
            .request(method.parse()?, format!("{url}{path}"))
            .header("content-type", "application/json")
            .body(body.to_owned());
        anyhow::Ok(request.send().await?.text().await?)
    })?;
    let answer: serde_json::Value = serde_json::from_str(&answer).with_context(|| format!("no JSON: {answer}"))?;
    Ok(format!("{answer:#}\n"))
}

fn check(path: &Path, served: &mut Option<Served>, bless: bool) -> Result<usize> {
    let page = std::fs::read_to_string(path)?;
    let blocks = blocks(&page);
    let mut blessed = page.clone();
    let mut failures = String::new();
    let mut asked = 0;
    // From the end, so that a rewritten answer moves no block that is still to come.
    for (i, block) in blocks.iter().enumerate().rev() {
        let Some((kind, answer)) = answer(block, served)? else { continue };
        asked += 1;
        let Some(shown) = blocks.get(i + 1).filter(|next| next.kind == kind) else { continue };
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        // JSON is laid out on a page as a reader likes it.
        let alike = kind == "json" && json(&shown.text).is_some_and(|shown| Some(shown) == json(&answer));
        assert!(!shown.text.is_empty(), "an empty block has no place in the page: {}", block.text);
        if alike || shown.text.trim_end() == answer.trim_end() {
            continue;
        }
        blessed.replace_range(shown.range.clone(), &format!("{}\n", answer.trim_end()));
        writeln!(failures, "asked:\n{}\nshown:\n{}\nanswered:\n{answer}", block.text, shown.text)?;
    }
    if bless {
        std::fs::write(path, blessed)?;
    } else if !failures.is_empty() {
        bail!("{} shows other answers than the product gives:\n{failures}", path.display());
    }
    Ok(asked)
}

#[test]
fn what_the_guide_and_the_readme_show_is_what_the_product_answers() -> Result<()> {
    let mut pages = vec![root().join("README.md")];
    for entry in std::fs::read_dir(root().join("tests/guide"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    let bless = std::env::var_os("SKEWLESS_BLESS").is_some();
    let mut served = None;
    let mut asked = 0;
    for page in pages {
        asked += check(&page, &mut served, bless)?;
    }
    assert!(asked >= 6, "only {asked} blocks of the guide ask anything");
    Ok(())
}

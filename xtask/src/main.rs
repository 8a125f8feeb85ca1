//! Everything a developer of Skewless runs, as `cargo xtask <command>`:
//!
//! - `setup` brings what the machine lacks (wasm targets, clang, a software Vulkan driver, Chromium, Python and npm
//!   packages) and takes a moment when nothing is missing; every other command calls it.
//! - `component [NAME…]` builds the Spin components and the browser package into `target/components` and `target/page`.
//! - `test` is what CI runs: formatting, lints, generated docs, components, then every test of the workspace.
//! - `demo` runs the guide's project end to end; `bench` runs what is in `tests/bench`; `docs` writes the generated pages.
//!
//! Build products go to `$CARGO_TARGET_DIR`, by default `${XDG_CACHE_HOME:-~/.cache}/skewless/target`, so that clones
//! share them. Components build in its `wasm` folder and never wait for a native build, nor it for them. What `setup`
//! brings for itself lies beside it in `skewless/toolchain` and `skewless/python`; removing that folder undoes it.

mod bench;
mod check;
mod component;
mod demo;
mod docs;
mod setup;
mod shell;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set up, build, test and show Skewless", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring what this machine lacks, and say what that is
    Setup(setup::Arguments),
    /// Build components for wasm: features, predict, page, browser (default: all)
    Component {
        #[arg(value_name = "NAME")]
        names: Vec<component::Component>,
        /// Where the wasm targets come from
        #[arg(long, value_enum, default_value_t)]
        toolchain: toolchain::Source,
    },
    /// Everything CI checks: formatting, lints, generated docs, components, all tests
    Test {
        /// Handed to `cargo test --workspace`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Train, score in SQL, over HTTP and in the browser, and compare
    Demo {
        /// Handed to `skewless demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Write the pages that are generated from the catalog
    Docs(docs::Arguments),
    /// Run the benchmarks of tests/bench
    Bench {
        /// Only those whose name contains this
        filter: Option<String>,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Remedies are for people: no backtrace, whatever the environment asks for.
        Err(error) => {
            shell::say(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let workspace = Workspace::locate()?;
    match Arguments::parse().command {
        Command::Setup(arguments) => setup::run(&workspace, &arguments),
        Command::Component { names, toolchain } => component::build(&workspace, &names, toolchain),
        Command::Test { arguments } => check::run(&workspace, &arguments),
        Command::Demo { arguments } => demo::run(&workspace, &arguments),
        Command::Docs(arguments) => docs::run(&workspace, arguments),
        Command::Bench { filter } => bench::run(&workspace, filter.as_deref()),
    }
}

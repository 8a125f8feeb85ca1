//! `skewless up`: serves the application of a `spin.toml` on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::Failure;
use crate::context::runtime;
use crate::progress;

/// Serve the application of spin.toml on this machine
///
/// Runs its components until Ctrl-C, which lets the requests in progress end.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The application
    #[arg(short = 'f', long = "file", value_name = "FILE", default_value = "spin.toml")]
    file: PathBuf,
    /// Folder of the key-value store [default: .spin beside the application]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Value of an application variable (may be given several times)
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Drop what components print
    #[arg(long)]
    quiet: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if !args.file.is_file() {
        return Err(Failure::Usage(format!(
            "there is no {}; run this where the application is, or name it with --file",
            args.file.display()
        )));
    }
    // The state lies beside the manifest, so the manifest needs a folder to its path.
    let manifest = std::path::absolute(&args.file)?;
    let mut options = skewless_host::Options::new(manifest);
    options.listen = args.listen;
    options.state_dir.clone_from(&args.state_dir);
    options.variables = args.variables.iter().cloned().collect();
    options.quiet = args.quiet;
    runtime()?.block_on(async {
        let spinner = progress::spinner("preparing the components (they are compiled once)");
        let running = skewless_host::up(options).await?;
        spinner.finish_and_clear();
        println!("serving http://{}", running.addr());
        for route in running.routes() {
            println!("  {:<28} {}", route.route, route.component);
        }
        println!("Ctrl-C stops it");
        Ok(running.wait().await?)
    })
}

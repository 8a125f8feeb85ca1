//! `skewless model`: builds a bundle from an ONNX file, and shows what a bundle says about itself.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use skewless_model::{Bundle, CpuEngine, Engine, InputSpec, OutputSpec, Role, Width};

use crate::Failure;

/// Build and inspect model bundles
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a bundle of an ONNX file: its signature, test vectors and digest beside the graph
    Build(Build),
    /// Print name, digest, signature and stages of a bundle or ONNX file
    Inspect(Inspect),
}

#[derive(clap::Args)]
pub(crate) struct Build {
    /// The ONNX file
    #[arg(value_name = "ONNX")]
    onnx: PathBuf,
    /// The model's name [default: the file's]
    #[arg(long)]
    name: Option<String>,
    /// JSON with what the graph does not say: version, description, signature, provenance, `test_vectors`
    #[arg(long, value_name = "FILE")]
    description: Option<PathBuf>,
    /// Where to put it: an archive if it ends in .skew, else a folder [default: NAME.skew]
    #[arg(short = 'o', long, value_name = "PATH")]
    output: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct Inspect {
    /// A bundle's folder, a .skew archive or an ONNX file
    path: PathBuf,
    /// Print bundle.json as it is
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Build(args) => Ok(build(&args)?),
        Command::Inspect(args) => Ok(inspect(&args)?),
    }
}

fn build(args: &Build) -> Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
    let onnx = read(&args.onnx)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => args.onnx.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let description = args.description.as_deref().map(read).transpose()?;
    let description = description.map(String::from_utf8).transpose().context("the description is not UTF-8 text")?;
    let bundle = Bundle::build(&name, &onnx, description.as_deref())?;
    // A bundle whose model does not run, or not as its test vectors say, is not written.
    let session = CpuEngine.load(&bundle)?;
    bundle.verify(session.as_ref())?;
    let output = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.skew")));
    if output.extension().is_some_and(|extension| extension == "skew") {
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || -> Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            std::io::Write::write_all(&mut file, &bundle.to_archive()?)?;
            file.persist(&output)?;
            Ok(())
        };
        write().with_context(|| format!("{} cannot be written", output.display()))?;
    } else {
        bundle.write_dir(&output)?;
    }
    println!("{} sha256:{}", output.display(), bundle.digest());
    Ok(())
}

fn inspect(args: &Inspect) -> Result<()> {
    let bundle = Bundle::open(&args.path)?;
    let metadata = bundle.metadata();
    if args.json {
        println!("{}", serde_json::to_string_pretty(metadata)?);
        return Ok(());
    }
    println!("name     {}", bundle.name());
    if let Some(version) = &metadata.version {
        println!("version  {version}");
    }
    if let Some(description) = &metadata.description {
        println!("about    {description}");
    }
    println!("digest   sha256:{}", bundle.digest());
    for input in &bundle.signature().inputs {
        println!("input    {}", input_text(input));
    }
    for output in &bundle.signature().outputs {
        println!("output   {}", output_text(output));
    }
    let session = CpuEngine.load(&bundle)?;
    for stage in session.stages() {
        println!("stage    {stage}");
    }
    bundle.verify(session.as_ref())?;
    if !metadata.test_vectors.is_empty() {
        println!("tests    {} test vectors hold on the CPU", metadata.test_vectors.len());
    }
    Ok(())
}

fn width(width: Width) -> String {
    match width {
        Width::Scalar => String::new(),
        Width::Vector(width) => format!("[{width}]"),
    }
}

fn input_text(input: &InputSpec) -> String {
    let mut text = format!("{} {}{}", input.name, input.data_type, width(input.width));
    if !input.columns.is_empty() {
        text.extend([" (", &input.columns.join(", "), ")"]);
    }
    if let Some(feature) = &input.feature {
        text.extend([" from ", feature]);
    }
    text
}

fn output_text(output: &OutputSpec) -> String {
    let role = match output.role {
        Role::Label => "label",
        Role::Probabilities => "probabilities",
        Role::Value => "value",
    };
    let mut text = format!("{} {}{} ({role})", output.name, output.data_type, width(output.width));
    if let Some(classes) = &output.classes {
        text.extend([" of ", &classes.names().join(", ")]);
    }
    text
}

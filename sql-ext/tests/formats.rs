//! Tables over files in each format and over an HTTP server, and projects.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use skewless_sql::{Error, Options, Outcome, Project, SkewlessContext};

/// The one number that the last statement of a text returns.
async fn number(context: &SkewlessContext, sql: &str) -> i64 {
    let outcomes = context.sql(sql).await.unwrap();
    let Some(Outcome::Rows(rows)) = outcomes.into_iter().next_back() else { panic!("`{sql}` ends in no query") };
    rows.collect().await.unwrap()[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// Serves `content` at every path to as many requests as come, with HEAD and single byte ranges.
fn serve(content: Vec<u8>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap().take(1 << 16)).lines();
            let request = lines.next().unwrap().unwrap();
            let headers: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let range = headers.iter().find_map(|line| {
                let line = line.to_ascii_lowercase();
                let (start, end) = line.strip_prefix("range: bytes=")?.split_once('-')?;
                Some((start.parse::<usize>().unwrap(), end.parse().unwrap_or(content.len() - 1)))
            });
            let (status, start, end) = match range {
                Some((start, end)) => ("206 Partial Content", start, end.min(content.len() - 1) + 1),
                None => ("200 OK", 0, content.len()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\n\
                 Accept-Ranges: bytes\r\nLast-Modified: Wed, 01 May 2024 00:00:00 GMT\r\nETag: \"1\"\r\n\
                 Connection: close\r\n\r\n",
                end - start,
                end - 1,
                content.len()
            );
            let _ = stream.write_all(head.as_bytes());
            if !request.starts_with("HEAD") {
                let _ = stream.write_all(&content[start..end]);
            }
        }
    });
    address
}

#[tokio::test]
async fn every_format_is_written_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let context = SkewlessContext::new(Options::default()).await.unwrap();
    for (format, extension) in
        [("PARQUET", "parquet"), ("CSV", "csv"), ("JSON", "json"), ("NDJSON", "ndjson"), ("ARROW", "arrow")]
    {
        let file = folder.path().join(format!("rows.{extension}"));
        let file = file.display();
        let write_as = if format == "NDJSON" { "JSON" } else { format };
        let outcomes = context
            .sql(&format!(
                "COPY (SELECT x, x * x AS y FROM generate_series(1, 3) AS s(x)) TO '{file}' STORED AS {write_as}"
            ))
            .await
            .unwrap();
        assert!(matches!(&outcomes[..], [Outcome::Done(done)] if done == "3 rows written"), "{outcomes:?}");
        let sql = format!(
            "CREATE EXTERNAL TABLE {extension}_rows STORED AS {format} LOCATION '{file}';
             SELECT sum(x * y) FROM {extension}_rows"
        );
        assert_eq!(number(&context, &sql).await, 36, "{format}");
    }
    let file = folder.path().join("rows.parquet");
    assert_eq!(number(&context, &format!("SELECT count(*) FROM '{}'", file.display())).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let context = SkewlessContext::new(Options::default()).await.unwrap();
    let file = folder.path().join("rows.parquet");
    context.sql(&format!("COPY (VALUES (1), (41)) TO '{}'", file.display())).await.unwrap();
    let address = serve(std::fs::read(file).unwrap());
    let sql = format!(
        "CREATE EXTERNAL TABLE remote STORED AS PARQUET LOCATION 'http://{address}/some/rows.parquet';
         SELECT sum(column1) FROM remote"
    );
    assert_eq!(number(&context, &sql).await, 42);
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_project_is_found_from_below_and_its_definitions_load_in_name_order_from_its_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(&root.join("skewless.toml"), "name = 'flights'");
    write(&root.join("data/rows.csv"), "x\n1\n2\n");
    write(&root.join("definitions/20_views.sql"), "CREATE VIEW doubled AS SELECT x * 2 AS x FROM rows;");
    write(
        &root.join("definitions/10_tables.sql"),
        "-- The rows; all of them.\nCREATE EXTERNAL TABLE rows STORED AS CSV LOCATION 'data/rows.csv' \
         OPTIONS ('format.has_header' 'true');",
    );
    let below = root.join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    assert_eq!(Project::find(&below).as_deref(), Some(root));
    let options = Options { project: Project::find(&below), ..Options::default() };
    let context = SkewlessContext::new(options).await.unwrap();
    assert_eq!(context.project().unwrap().name(), "flights");
    assert_eq!(number(&context, "SELECT sum(x) FROM doubled").await, 6);
}

async fn refused(root: &Path) -> Error {
    SkewlessContext::new(Options { project: Some(root.to_owned()), ..Options::default() }).await.unwrap_err()
}

#[tokio::test]
async fn a_mistake_in_a_project_names_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert!(refused(root).await.to_string().contains("a project is a folder that holds skewless.toml"));
    write(&root.join("skewless.toml"), "nmae = 'flights'");
    assert!(refused(root).await.to_string().contains("unknown field `nmae`"));
    write(&root.join("skewless.toml"), "");
    write(&root.join("definitions/10.sql"), "CREATE TABLE a AS VALUES (1);\n\nCREATE VIEW v AS\n  SELECT * FROM b;\n");
    let message = refused(root).await.to_string();
    let file = root.join("definitions/10.sql");
    assert!(message.starts_with(&format!("{}:4:17: there is no table `b`", file.display())), "{message}");
    write(&file, "CREATE TABEL a AS VALUES (1);");
    let message = refused(root).await.to_string();
    assert!(message.starts_with(&format!("{}:1:8: ", file.display())), "{message}");
}

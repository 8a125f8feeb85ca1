//! Standard output and error of components, a log event for each line.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// A line longer than this is cut into several events.
const LINE: usize = 8192;

/// One of the two streams of one instance.
pub(super) struct Lines {
    component: Arc<str>,
    stream: &'static str,
}

impl Lines {
    pub(super) fn new(component: &Arc<str>, stream: &'static str) -> Self {
        Self { component: Arc::clone(component), stream }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Writer { component: Arc::clone(&self.component), stream: self.stream, line: Vec::new() })
    }
}

struct Writer {
    component: Arc<str>,
    stream: &'static str,
    line: Vec<u8>,
}

impl Writer {
    fn end_line(&mut self) {
        // Control characters could repaint the operator's terminal.
        let line = String::from_utf8_lossy(&self.line).replace(|c: char| c.is_control() && c != '\t', "\u{fffd}");
        tracing::info!(component = %self.component, stream = self.stream, "{line}");
        self.line.clear();
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        for &byte in bytes {
            match byte {
                b'\n' => this.end_line(),
                byte => this.line.push(byte),
            }
            if this.line.len() >= LINE {
                this.end_line();
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

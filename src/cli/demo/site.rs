//! The demo's web server: the files of the live release, and nothing else. And a look at them, as a visitor has it.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;

use super::serve::{Answer, answer, words};

/// Longest wait for a page: it comes from a file on this machine.
const LOOK_TIME: Duration = Duration::from_secs(10);

/// Most of a page that is looked at, bytes.
const PAGE_MAX: usize = 1 << 20;

/// Answers a request with a file below `root`, which is looked up anew each time: the live release changes.
pub fn respond(root: &Path, request: &Request<Incoming>) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return words(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD");
    }
    let Some(mut file) = file(root, request.uri().path()) else {
        return words(StatusCode::NOT_FOUND, "not found");
    };
    if file.is_dir() {
        file.push("index.html");
    }
    match std::fs::read(&file) {
        Ok(bytes) => answer(StatusCode::OK, content_type(&file), bytes),
        Err(_) if !root.exists() => words(StatusCode::NOT_FOUND, "nothing is live yet"),
        Err(_) => words(StatusCode::NOT_FOUND, "not found"),
    }
}

/// The file that a path names; `None` if it could lead out of `root`.
fn file(root: &Path, path: &str) -> Option<PathBuf> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let path = Path::new(path.trim_start_matches('/'));
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| root.join(path))
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|e| e.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css",
        "js" => "text/javascript",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Asks the server there for `/`: the status and the page.
pub async fn look(server: SocketAddr) -> Result<(StatusCode, String), String> {
    let ask = async {
        let stream = TcpStream::connect(server).await.map_err(|e| e.to_string())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        let request = Request::get("/").header("host", server.to_string());
        let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
        let (head, body) = sender
            .send_request(request)
            .await
            .map_err(|e| e.to_string())?
            .into_parts();
        let body = Limited::new(body, PAGE_MAX)
            .collect()
            .await
            .map_err(|e| e.to_string())?;
        Ok((head.status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    };
    let asked = tokio::time::timeout(LOOK_TIME, ask).await;
    asked.unwrap_or_else(|_| Err(format!("no answer within {} s", LOOK_TIME.as_secs())))
}

/// The headline of a page.
pub fn headline(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("<h1>")?;
    rest.split_once("</h1>").map(|(headline, _)| headline.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out() {
        let root = Path::new("/srv/www/current/public");
        assert_eq!(file(root, "/").as_deref(), Some(root));
        assert_eq!(file(root, "//style.css"), Some(root.join("style.css")));
        assert_eq!(file(root, "/a%20b/c.html"), Some(root.join("a b/c.html")));
        for path in ["/..", "/a/../../x", "/%2e%2e/x", "/a/%2E%2E/%2e%2e/x", "/%ff"] {
            assert_eq!(file(root, path), None, "{path}");
        }
    }

    #[test]
    fn finds_the_headline() {
        let page = include_str!("sample/index.html");
        assert_eq!(headline(page), Some("The garden is open"));
        assert_eq!(headline("<h1>half"), None);
    }
}

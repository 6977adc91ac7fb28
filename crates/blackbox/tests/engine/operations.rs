//! docs/api-operations.md against the running daemon: each row is asked for something that does not exist.

use berth_blackbox::operations::{Operation, table};
use berth_blackbox::{Engine, Kind};

/// Operations that answer with a stream that has no end, or that change the whole engine when asked with nothing.
fn probe(operation: &Operation) -> (String, &'static [u8]) {
    let path = operation.path.replace("{id}", "nobody").replace("{name}", "nobody");
    match operation.name.as_str() {
        "SystemEvents" => (format!("{path}?since=1&until=2"), b""),
        "ContainerCreate" | "VolumeCreate" => (path, b"{"),
        "ContainerExec" | "ExecStart" | "ContainerUpdate" | "SystemAuth" => (path, b"{}"),
        "ContainerRename" => (format!("{path}?name=other"), b""),
        "ContainerResize" | "ExecResize" => (format!("{path}?h=1&w=1"), b""),
        "ContainerLogs" => (format!("{path}?stdout=1"), b""),
        "ContainerArchive" | "ContainerArchiveInfo" | "PutContainerArchive" => (format!("{path}?path=/"), b""),
        "ImageGetAll" => (format!("{path}?names=nobody"), b""),
        "ImageTag" => (format!("{path}?repo=a&tag=b"), b""),
        "ImageCreate" => (format!("{path}?fromSrc=-&repo=UPPER"), b""),
        "ImageCommit" => (format!("{path}?container=nobody"), b"{}"),
        "ImageLoad" => (path, b"no archive"),
        _ => (path, b""),
    }
}

#[test]
fn every_operation_is_answered_as_the_table_says() {
    let engine = Engine::start();
    if engine.kind() != Kind::Berth {
        berth_blackbox::skip!("the table is berth's");
    }
    let mut faults = Vec::new();
    // The newest version, so that no operation is hidden by an old one.
    let newest = engine.http().get("/_ping").header("api-version").expect("a version").to_owned();
    let operations = table();
    assert_eq!(operations.len(), 108);
    for operation in operations {
        let (path, body) = probe(&operation);
        let headers = [("Content-Type", "application/json")];
        let answer = engine.http().request(&operation.method, &format!("/v{newest}{path}"), &headers, body);
        let is_as_told = match operation.status.as_str() {
            // No registry is within reach of the tests.
            "answered" if operation.path.starts_with("/distribution/") => answer.message().contains("/v2/"),
            // Volumes of a cluster alone can be updated, and this is Docker's own answer outside of one.
            "answered" if operation.path == "/volumes/{name}" && operation.method == "PUT" => answer.status == 503,
            "answered" => answer.status < 500 && !answer.message().contains("page not found"),
            "503 in no swarm" => answer.status == 503 && answer.message().contains("This node is not"),
            _ => answer.status == 501 && answer.message().contains("not built yet"),
        };
        if !is_as_told {
            faults.push(format!("{} {}: {} {}", operation.method, operation.path, answer.status, answer.text().trim()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

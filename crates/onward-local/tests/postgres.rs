//! Several processes and threads of a developer's machine share the private server.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use onward_local::PrivatePostgres;

#[test]
fn threads_of_one_process_share_a_server_and_the_last_one_stops_it() {
    let home =
        tempfile::Builder::new().prefix("shared").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("is made");
    let server = PrivatePostgres::start(home.path()).expect("PostgreSQL starts");
    let url = server.url("app");

    let threads = 8;
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..20 {
                    let joined = PrivatePostgres::start(home.path()).expect("is joined");
                    assert_eq!(joined.url("app"), url);
                }
            });
        }
    });

    assert!(TcpStream::connect(address(&url)).is_ok(), "a user is left, so the server still runs");
    drop(server);
    assert!(TcpStream::connect(address(&url)).is_err(), "the last user has stopped the server");
}

#[test]
fn the_error_names_a_path_that_is_not_a_folder() {
    let home = tempfile::tempdir().expect("is made");
    let file = home.path().join("postgres");
    std::fs::write(&file, "").expect("is written");
    let error = PrivatePostgres::start(Path::new(&file)).expect_err("is not a folder");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

/// `127.0.0.1:port` of a PostgreSQL address.
fn address(url: &str) -> &str {
    url.split_once('@').and_then(|(_, rest)| rest.split_once('/')).expect("is an address").0
}

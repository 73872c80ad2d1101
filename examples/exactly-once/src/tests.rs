//! Handlers by a call, and the whole app, each test on a database of its own.

use std::sync::Arc;
use std::time::Duration;

use onward::testing::{RunningApp, TestApp, TestDb};
use onward::{App, Batch, Budget, Failure, FailureKind, Json, Outgoing, PgPool, PgTx, Queue, State};
use tokio::sync::Notify;

use crate::{INVOICES, ORDERS, Order, app, forget_orders};

const ORDER: Order = Order { number: 7 };

async fn count(db: &TestDb, table: &str) -> i64 {
    let client = db.pool().get().await.expect("connects");
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.expect("is counted").get(0)
}

#[onward::test]
async fn an_order_is_taken_once(db: TestDb) {
    let app = TestApp::new(app(), &db).await;
    let message = TestApp::message(&ORDER);
    let handled = app.handle_message(&ORDERS, message.clone()).await;
    assert_eq!((handled.outcome, handled.was_done, handled.is_recorded), (Ok(()), false, true));

    let again = app.handle_message(&ORDERS, message).await;
    assert_eq!((again.outcome, again.was_done, again.sent), (Ok(()), true, vec![]));
    assert_eq!(count(&db, "orders").await, 1);
}

#[onward::test]
async fn an_order_is_sent_on_with_its_commit(db: TestDb) {
    let client = db.pool().get().await.expect("connects");
    client.batch_execute("ALTER TABLE orders ADD PRIMARY KEY (number)").await.expect("is added");
    let app = TestApp::new(app(), &db).await;
    assert_eq!(app.handle(&ORDERS, &ORDER).await.sent_to(&INVOICES), [ORDER]);

    // Another message with the same order: nothing of it stays.
    let refused = app.handle(&ORDERS, &ORDER).await;
    assert!(refused.sent.is_empty() && !refused.is_recorded, "{refused:?}");
    let failure = refused.outcome.expect_err("the order is there");
    let reason = "ERROR: duplicate key value violates unique constraint \"orders_pkey\" (SQLSTATE 23505, table orders, \
                  constraint orders_pkey)";
    assert_eq!((failure.kind, failure.reason.as_str()), (FailureKind::Retry, reason));
}

/// PostgreSQL answers the COMMIT of a transaction that has failed with success, and rolls back.
#[onward::test]
async fn a_handler_that_ignores_the_error_of_a_statement_fails(db: TestDb) {
    async fn ignores(tx: PgTx, Json(order): Json<Order>) -> Result<(), Failure> {
        tx.execute("INSERT INTO orders (number) VALUES ($1)", &[&order.number]).await?;
        if order.number == 8 {
            tx.batch_execute("SAVEPOINT part").await?;
        }
        let _ignored = tx.execute("INSERT INTO nowhere DEFAULT VALUES", &[]).await;
        if order.number == 8 {
            tx.batch_execute("ROLLBACK TO part").await?;
        }
        Ok(())
    }
    let app = App::new(onward::scripts!(), |_| async { Ok(()) }).queue(ORDERS.handler(ignores));
    let app = TestApp::new(app, &db).await;
    let handled = app.handle(&ORDERS, &ORDER).await;
    let failure = handled.outcome.expect_err("nothing has happened");
    assert!(failure.reason.contains("a statement of the handler has failed"), "{failure:?}");
    assert_eq!((handled.is_recorded, count(&db, "orders").await), (false, 0));

    let in_a_savepoint = app.handle(&ORDERS, &Order { number: 8 }).await;
    assert_eq!((in_a_savepoint.outcome, count(&db, "orders").await), (Ok(()), 1));
}

/// A transaction that the handler ends itself is not the one that has the row of the inbox.
#[onward::test]
async fn a_handler_that_ends_its_transaction_fails(db: TestDb) {
    async fn ends(tx: PgTx, Json(order): Json<Order>) -> Result<(), Failure> {
        tx.batch_execute(if order.number == 7 { "ROLLBACK" } else { "ROLLBACK; BEGIN" }).await?;
        tx.execute("INSERT INTO orders (number) VALUES ($1)", &[&order.number]).await?;
        Ok(())
    }
    let app = App::new(onward::scripts!(), |_| async { Ok(()) }).queue(ORDERS.handler(ends));
    let app = TestApp::new(app, &db).await;
    for order in [ORDER, Order { number: 8 }] {
        let failure = app.handle(&ORDERS, &order).await.outcome.expect_err("it is another transaction");
        assert!(failure.reason.contains("the handler has ended"), "{failure:?}");
    }
    // What the handler has done by itself outside of a transaction stays, and what it has begun does not.
    assert_eq!(count(&db, "orders").await, 1);
}

/// A handler that opens a transaction by itself on a connection of the pool, and leaves it open, has not committed it.
#[onward::test]
async fn a_transaction_that_was_left_open_is_not_committed_with_the_next(db: TestDb) {
    async fn leaves_open(State(pool): State<PgPool>, Json(order): Json<Order>) -> Result<(), Failure> {
        let client = pool.get().await?;
        client.batch_execute("BEGIN").await?;
        client.execute("INSERT INTO orders (number) VALUES ($1)", &[&order.number]).await?;
        Err(Failure::retry("it has not ended"))
    }
    async fn takes(tx: PgTx, Json(order): Json<Order>) -> Result<(), Failure> {
        tx.execute("INSERT INTO orders (number) VALUES ($1)", &[&order.number]).await?;
        Ok(())
    }
    let app = App::new(onward::scripts!(), |setup| async move { Ok(setup.database.postgres()?) })
        .queue(ORDERS.handler(leaves_open))
        .queue(INVOICES.handler(takes));
    let app = TestApp::new(app, &db).await;
    app.handle(&ORDERS, &ORDER).await.outcome.expect_err("it says so");
    let message = TestApp::message(&Order { number: 8 });
    let on_the_same_connection = app.handle_message(&INVOICES, message.clone()).await;
    let failure = on_the_same_connection.outcome.expect_err("is another's transaction");
    assert!(
        failure.kind == FailureKind::Retry && failure.reason.contains("left a transaction open"),
        "{failure:?}"
    );
    assert_eq!(app.handle_message(&INVOICES, message).await.outcome, Ok(()));
    let client = db.pool().get().await.expect("connects");
    let rows = client.query("SELECT number FROM orders", &[]).await.expect("is read");
    assert_eq!(rows.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>(), [8]);
}

#[onward::test]
async fn a_value_that_the_database_never_takes_is_rejected(db: TestDb) {
    async fn out_of_range(tx: PgTx, Json(order): Json<Order>) -> Result<(), Failure> {
        tx.execute("SELECT ($1::bigint * 4294967296)::int", &[&order.number]).await?;
        Ok(())
    }
    let app = App::new(onward::scripts!(), |_| async { Ok(()) }).queue(ORDERS.handler(out_of_range));
    let failure = TestApp::new(app, &db).await.handle(&ORDERS, &ORDER).await.outcome.expect_err("is refused");
    assert_eq!(failure.kind, FailureKind::Reject);
    assert_eq!(failure.reason, "ERROR: integer out of range (SQLSTATE 22003)");
}

/// A misspelt name is found here, and not in production.
#[onward::test]
async fn a_queue_that_is_not_declared_gets_nothing(db: TestDb) {
    const AUDITS: Queue<Order> = Queue::new("audits");
    async fn audit(tx: PgTx, Json(order): Json<Order>) -> Result<(), Failure> {
        tx.send(&AUDITS, &order).await
    }
    let audited = || App::new(onward::scripts!(), |_| async { Ok(()) }).queue(ORDERS.handler(audit)).outbox();
    let handled = TestApp::new(audited(), &db).await.handle(&ORDERS, &ORDER).await;
    assert!(handled.sent.is_empty() && !handled.is_recorded, "{handled:?}");
    let failure = handled.outcome.expect_err("is not declared");
    let reason = "the queue `audits` is not declared (declared: orders)";
    assert!(failure.kind == FailureKind::Retry && failure.reason.starts_with(reason), "{failure:?}");

    let declared = audited().sends_to(AUDITS);
    assert_eq!(TestApp::new(declared, &db).await.handle(&ORDERS, &ORDER).await.sent_to(&AUDITS), [ORDER]);
    let running = RunningApp::start(audited().sends_to(AUDITS), &db).await;
    running.send(&ORDERS, &Order { number: 8 }).await;
    running.idle().await;
    assert_eq!(running.sent_to(&AUDITS).await, [ORDER, Order { number: 8 }]);
    running.stop().await;
}

#[onward::test]
async fn a_panic_and_a_long_run_are_failures(db: TestDb) {
    async fn fails(_tx: PgTx, Json(order): Json<Order>) -> Result<(), Failure> {
        if order.number == 7 {
            panic!("no number 7");
        }
        std::future::pending().await
    }
    let app = App::new(onward::scripts!(), |_| async { Ok(()) }).queue(ORDERS.handler(fails));
    let app = TestApp::new(app, &db).await;
    let panicked = app.handle(&ORDERS, &ORDER).await;
    assert_eq!(panicked.outcome.expect_err("fails").reason, "the handler panicked: no number 7");
    let app = app.with_handler_timeout(&ORDERS, Duration::from_millis(100));
    let long = app.handle(&ORDERS, &Order { number: 8 }).await;
    assert_eq!(long.outcome.expect_err("fails").reason, "the handler took longer than 100ms");
    assert!(!panicked.is_recorded && !long.is_recorded);
}

/// As a stop whose grace has ended, or a crash: what the handler has done is undone, and the message is handled once more.
#[onward::test]
async fn a_handler_that_is_abandoned_leaves_nothing_behind(db: TestDb) {
    let written = Arc::new(Notify::new());
    let (told, resumed) = (written.clone(), Arc::new(Notify::new()));
    let resumes = resumed.clone();
    let handler = move |tx: PgTx, Json(order): Json<Order>| {
        let (told, resumes) = (told.clone(), resumes.clone());
        async move {
            tx.execute("INSERT INTO orders (number) VALUES ($1)", &[&order.number]).await?;
            told.notify_one();
            resumes.notified().await;
            Ok(())
        }
    };
    let app = App::new(onward::scripts!(), |_| async { Ok(()) }).queue(ORDERS.handler(handler));
    let app = TestApp::new(app, &db).await;
    let message = TestApp::message(&ORDER);
    let handled = app.handle_until(&ORDERS, message.clone(), written.notified()).await;
    assert_eq!(handled.outcome.expect_err("is abandoned").reason, "abandoned");
    assert_eq!((handled.is_recorded, count(&db, "orders").await), (false, 0));

    resumed.notify_one();
    let again = app.handle_message(&ORDERS, message).await;
    assert_eq!((again.outcome, again.is_recorded, count(&db, "orders").await), (Ok(()), true, 1));
}

#[onward::test]
async fn routes_of_its_own_are_beside_health_and_metrics(db: TestDb) {
    use onward::axum::{Router, routing::get};

    let routes = |_: PgPool| {
        let own = Router::new().route("/orders", get(async || "no orders"));
        // This one stays Onward's.
        own.route("/livez", get(async || "mine"))
    };
    let app = RunningApp::start(app().routes(routes), &db).await;
    let client = reqwest::Client::new();
    let get = async |path: &str| {
        let answer = client.get(format!("http://{}{path}", app.http_addr())).send().await.expect("answers");
        (answer.status().as_u16(), answer.text().await.expect("is text"))
    };
    assert_eq!(get("/orders").await, (200, "no orders".to_owned()));
    assert_eq!(get("/livez").await, (200, "ok\n".to_owned()));
    assert!(get("/metrics").await.1.contains("onward_"));
    assert_eq!(get("/nowhere").await.0, 404);
    app.stop().await;
}

async fn count_invoices(pool: PgPool) {
    let client = pool.get().await.expect("the pool is open");
    let row = client.query_one("SELECT count(*) FROM invoices", &[]).await.expect("is read");
    let insert = "INSERT INTO orders (number) VALUES ($1)";
    client.execute(insert, &[&(1000 + row.get::<_, i64>(0))]).await.expect("is written");
}

#[onward::test]
async fn what_it_does_at_the_stop_comes_after_the_last_message(db: TestDb) {
    let app = RunningApp::start(app().on_stop(count_invoices), &db).await;
    app.send(&ORDERS, &ORDER).await;
    app.idle().await;
    app.stop().await;
    let client = db.pool().get().await.expect("connects");
    let row = client.query_one("SELECT max(number) FROM orders", &[]).await.expect("is read");
    assert_eq!(row.get::<_, i64>(0), 1001, "one invoice was there");
}

#[onward::test]
async fn a_job_is_a_function_that_a_test_calls(db: TestDb) -> Result<(), Failure> {
    let old = "INSERT INTO orders (number, taken_at) VALUES (1, now() - interval '11 years'), (2, now())";
    db.pool().get().await?.execute(old, &[]).await?;
    forget_orders(db.pool().clone()).await?;
    assert_eq!(count(&db, "orders").await, 1);
    Ok(())
}

#[onward::test]
async fn the_whole_app_makes_an_invoice(db: TestDb) {
    let app = RunningApp::start(app(), &db).await;
    for number in 0..20 {
        app.send(&ORDERS, &Order { number }).await;
    }
    // The same message twice: the inbox handles one of them.
    for _ in 0..2 {
        app.send(&ORDERS, Outgoing::new(&Order { number: 20 }).id("order-20")).await;
    }
    const ANYTHING: Queue<&str> = Queue::new("orders");
    app.send(&ANYTHING, &"no order").await;
    app.idle().await;
    assert_eq!((count(&db, "orders").await, count(&db, "invoices").await), (21, 21));
    let dead = app.dead_letters(&ORDERS).await;
    let reason = dead.first().and_then(|letter| letter.reason.as_deref()).unwrap_or_default();
    assert!(dead.len() == 1 && reason.starts_with("the body does not decode"), "{dead:?}");
    app.stop().await;
}

#[onward::test]
async fn a_snapshot_brings_the_state_back(db: TestDb) -> Result<(), Failure> {
    let app = TestApp::new(app(), &db).await;
    app.handle(&ORDERS, &ORDER).await.outcome?;
    db.snapshot("one order").await;
    app.handle(&ORDERS, &Order { number: 8 }).await.outcome?;
    assert_eq!(count(&db, "orders").await, 2);
    for _ in 0..2 {
        db.restore("one order").await;
        assert_eq!(count(&db, "orders").await, 1);
    }
    Ok(())
}

/// A person can look into it.
#[onward::test]
async fn the_database_of_a_failed_test_stays_until_it_runs_again(db: TestDb) {
    let fails = |number| {
        let (says, said) = std::sync::mpsc::channel();
        // A test has a runtime of its own.
        let failing = std::thread::spawn(move || {
            onward::testing::run(&onward::scripts!(), "a test that fails", async |own: TestDb| {
                let client = own.pool().get().await.expect("connects");
                let insert = "INSERT INTO orders (number) VALUES ($1)";
                client.execute(insert, &[&number]).await.expect("is inserted");
                says.send(own.url().to_owned()).expect("is awaited");
                assert!(number < 0, "it fails");
            });
        });
        assert!(failing.join().is_err(), "the panic is the test's");
        said.recv().expect("was sent")
    };
    for number in [1_i64, 2] {
        let url = fails(number);
        let (client, connection) =
            onward::tokio_postgres::connect(&url, onward::tokio_postgres::NoTls).await.expect("it is there");
        let connection = tokio::spawn(connection);
        let row = client.query_one("SELECT array_agg(number) FROM orders", &[]).await.expect("is read");
        assert_eq!(row.get::<_, Vec<i64>>(0), [number], "of this run only");
        drop(client);
        connection.await.expect("does not panic").expect("ends");
    }
    drop(db);
}

#[onward::test]
async fn the_server_ends_a_statement_that_takes_too_long(db: TestDb) {
    async fn sleeps(tx: PgTx, Json(_): Json<Order>) -> Result<(), Failure> {
        tx.batch_execute("SELECT pg_sleep(60)").await?;
        Ok(())
    }
    let app = App::new(onward::scripts!(), |_| async { Ok(()) })
        .queue(ORDERS.handler(sleeps).budget(Budget { attempts: 1, time: Duration::ZERO }))
        .statement_timeout(Duration::from_millis(100))
        .database_connections(2);
    let app = RunningApp::start(app, &db).await;
    app.send(&ORDERS, &ORDER).await;
    app.idle().await;
    let dead = app.dead_letters(&ORDERS).await;
    let reason = dead.first().and_then(|letter| letter.reason.as_deref()).unwrap_or_default();
    assert!(reason.contains("57014"), "{dead:?}");
    app.stop().await;
}

#[onward::test]
async fn a_batch_handler_takes_several_at_once(db: TestDb) {
    async fn take_orders(pool: PgPool, orders: Vec<Json<Order>>) -> Vec<Result<(), Failure>> {
        let numbers: Vec<i64> = orders.iter().map(|Json(order)| order.number).collect();
        let insert = async || -> Result<(), Failure> {
            let insert = "INSERT INTO orders (number) SELECT unnest($1::bigint[]) WHERE NOT 7 = ANY ($1)";
            pool.get().await?.execute(insert, &[&numbers]).await?;
            Ok(())
        };
        let outcome = insert().await;
        numbers
            .iter()
            .map(|number| if *number == 7 { Err(Failure::reject("seven")) } else { outcome.clone() })
            .collect()
    }
    let app = App::new(onward::scripts!(), async |setup| Ok(setup.database.postgres()?))
        .queue(ORDERS.batch_handler(Batch::of(8), take_orders));
    let app = RunningApp::start(app, &db).await;
    for number in 0..20 {
        app.send(&ORDERS, &Order { number: 100 + number }).await;
    }
    const ANYTHING: Queue<&str> = Queue::new("orders");
    app.send(&ANYTHING, &"no order").await;
    app.idle().await;
    assert_eq!(count(&db, "orders").await, 20);
    app.send(&ORDERS, &ORDER).await;
    app.idle().await;
    let reasons: Vec<_> =
        app.dead_letters(&ORDERS).await.into_iter().filter_map(|letter| letter.reason).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].starts_with("the body does not decode") && reasons[1] == "seven", "{reasons:?}");
    app.stop().await;
}

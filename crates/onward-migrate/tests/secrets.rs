//! No part of a password is ever shown, whatever form an address has and whether or not it was understood.

use onward_migrate::DatabaseUrl;
use proptest::prelude::*;

/// Marks what must not be shown. It is long enough that nothing else contains it, and has no character of the grammars.
const SECRET: &str = "hush1hush2";

/// Addresses of other tools and of ours, with a place for the password.
const FORMS: &[&str] = &[
    "postgres://app:{}@db.example:5432/app?sslmode=require",
    "postgresql://db.example/app?user=app&password={}",
    "host=db.example user=app password='{}' dbname=app",
    "host=db.example user=app password={} dbname=app sslmode=require",
    "jdbc:postgresql://db.example/app?user=app&password={}",
    "postgresql+psycopg2://app:{}@db.example/app",
    "mysql://app:{}@db.example/app",
    "server=tcp:db.example,1433;database=app;user=app;password={}",
    "Server=db.example;Initial Catalog=app;User Id=app;Password='{}';Encrypt=True",
    "Driver={ODBC Driver 18 for SQL Server};Server=db.example;Uid=app;Pwd={{}};",
    "jdbc:sqlserver://db.example:1433;databaseName=app;user=app;password={}",
    "sqlserver://app:{}@db.example:1433/app?encrypt=true",
    "sqlserver://db.example?user id=app&password={}",
    "mssql+pyodbc://sa:{}@db.example/app?driver=ODBC",
    "app:{}@db.example/app",
    "{}",
];

/// What a hand does to an address: a character too many or too few, or the password at the wrong place.
fn addresses() -> impl Strategy<Value = String> {
    let noise = prop::sample::select(
        [
            "", "'", "\"", ";", "=", "@", ":", "/", "?", "&", "%", "%4", " ", "{", "}", "\\", ",", "[", "]",
            "#", "é", "\n",
        ]
        .as_slice(),
    );
    let form = prop::sample::select(FORMS);
    (form, noise.clone(), noise.clone(), noise, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(form, before, within, anywhere, at, cuts)| {
            let (start, end) = SECRET.split_at(5);
            let password = format!("{before}{start}{within}{end}");
            let mut address = form.replace("{}", &password);
            let places: Vec<usize> = address.char_indices().map(|(place, _)| place).collect();
            let place = places[at.index(places.len())];
            match cuts {
                true => drop(address.remove(place)),
                false => address.insert_str(place, anywhere),
            }
            address
        },
    )
}

/// What the text holds of the secret: a half of it says too much.
fn shows(text: &str) -> bool {
    let (start, end) = SECRET.split_at(5);
    text.contains(start) || text.contains(end)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn an_address_that_was_not_understood_is_never_shown(address in addresses()) {
        if let Err(error) = address.parse::<DatabaseUrl>() {
            let said = format!("{error} {error:?}");
            prop_assert!(!shows(&said), "{address:?} shows {said}");
        }
    }
}

#[test]
fn one_that_was_understood_does_not_show_its_password() {
    let mut understood = 0;
    for form in FORMS {
        let said = match form.replace("{}", SECRET).parse::<DatabaseUrl>() {
            Ok(url) => {
                understood += 1;
                url.to_string()
            }
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shows(&said), "{form}: {said}");
    }
    assert!(understood >= 9, "{understood} of {} forms are understood", FORMS.len());
}

//! The app's own test of its scripts, on the server that `TEST_SQLSERVER_URL` names.

#[test]
fn the_scripts_are_sound() {
    onward::testing::verify(&onward::scripts!());
}

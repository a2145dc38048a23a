//! What the compiler says about functions that are no handlers: each case in `compile_errors/` beside its message.
//!
//! The messages are those of rustc 1.95.0. Another compiler may word its own part of them otherwise: after a look at each,
//! `TRYBUILD=overwrite cargo test -p agentcore-runtime compile_errors` writes them anew.

#[test]
fn a_wrong_handler_is_told_what_is_wrong_with_it() {
    trybuild::TestCases::new().compile_fail("tests/compile_errors/*.rs");
}

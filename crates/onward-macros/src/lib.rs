//! The attribute `#[onward::test]`. It has no dependencies, so that it costs a build nothing.

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// Makes a test of an async function that takes a database of its own: `onward::testing::TestDb`.
///
/// ```ignore
/// #[onward::test]
/// async fn an_order_is_taken(db: TestDb) {
///     let app = TestApp::new(app(), &db).await;
///     let handled = app.handle(&ORDERS, &Order { number: 7 }).await;
///     assert_eq!(handled.outcome, Ok(()));
/// }
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    match arguments.into_iter().next() {
        Some(argument) => error(argument.span(), "`#[onward::test]` takes no arguments"),
        None => expand(function.into_iter().collect()).unwrap_or_else(|(span, message)| error(span, message)),
    }
}

/// A function in its parts.
struct Function {
    /// Attributes and visibility.
    before: TokenStream,
    name: Ident,
    parameters: Group,
    /// The output with its arrow, if it has one.
    output: TokenStream,
    body: Group,
}

const FORM: &str = "write `#[onward::test] async fn NAME(db: TestDb) { … }`";

fn parse(tokens: Vec<TokenTree>) -> Result<Function, (Span, &'static str)> {
    let is_word =
        |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(it) if it.to_string() == word);
    let here = Span::call_site();
    let at = |word: &str| tokens.iter().position(|token| is_word(token, word));
    let function = at("fn").ok_or((here, FORM))?;
    let is_async =
        at("async").filter(|place| *place + 1 == function).ok_or((tokens[function].span(), FORM))?;
    let Some(TokenTree::Ident(name)) = tokens.get(function + 1) else { return Err((here, FORM)) };
    let Some(TokenTree::Group(parameters)) = tokens.get(function + 2) else {
        return Err((name.span(), FORM));
    };
    let Some(TokenTree::Group(body)) = tokens.last() else { return Err((name.span(), FORM)) };
    if parameters.stream().is_empty() || body.delimiter() != Delimiter::Brace {
        return Err((name.span(), FORM));
    }
    Ok(Function {
        before: tokens[..is_async].iter().cloned().collect(),
        name: name.clone(),
        parameters: parameters.clone(),
        output: tokens[function + 3..tokens.len() - 1].iter().cloned().collect(),
        body: body.clone(),
    })
}

fn expand(tokens: Vec<TokenTree>) -> Result<TokenStream, (Span, &'static str)> {
    let Function { before, name, parameters, output, body } = parse(tokens)?;
    let code = |text: String| text.parse::<TokenStream>().expect("is Rust");
    let run = format!(
        "::onward::testing::run(&::onward::scripts!(), ::core::concat!(::core::module_path!(), \"::{name}\"), test)"
    );
    // The test's own tokens keep their places, so that the compiler points to them.
    let inner: TokenStream = [
        code("async fn test".to_owned()),
        TokenTree::Group(parameters).into(),
        output,
        TokenTree::Group(body).into(),
        code(run),
    ]
    .into_iter()
    .collect();
    Ok([
        code("#[::core::prelude::v1::test]".to_owned()),
        before,
        code("fn".to_owned()),
        TokenTree::Ident(name).into(),
        code("()".to_owned()),
        TokenTree::Group(Group::new(Delimiter::Brace, inner)).into(),
    ]
    .into_iter()
    .collect())
}

fn error(span: Span, message: &str) -> TokenStream {
    let error: TokenStream = format!("::core::compile_error!({message:?});").parse().expect("is Rust");
    error
        .into_iter()
        .map(|mut token| {
            token.set_span(span);
            token
        })
        .collect()
}

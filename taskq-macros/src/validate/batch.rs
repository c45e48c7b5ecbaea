//! The rules of a handler of many payloads.

use std::time::Duration;

use quote::ToTokens as _;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, GenericArgument, LitInt, LitStr, Meta, PathArguments, Token, Type};

use crate::errors::Errors;
use crate::model::Batch;
use crate::options::{Options, duration};
use crate::parse::{Argument, Function, Shape, bare};

/// The most payloads that one call may be given.
const MAX_SIZE: u16 = 10_000;

/// The longest that a worker may be told to wait for more.
const MAX_WAIT: Duration = Duration::from_secs(60);

const EXAMPLE: &str = "#[batch(1000, \"50ms\")]";

/// What stands in the parentheses of `#[batch(…)]`.
struct Given {
    size: LitInt,
    wait: LitStr,
}

impl Parse for Given {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let size = input.parse()?;
        input.parse::<Token![,]>()?;
        let wait = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        if !input.is_empty() {
            return Err(input.error("nothing more"));
        }
        Ok(Self { size, wait })
    }
}

/// Checks what makes a handler one of many payloads, if anything does.
pub(super) fn check<'a>(
    function: &'a Function,
    options: &Options,
    errors: &mut Errors,
) -> Option<Batch<'a>> {
    let mut batches = function.arguments.iter().filter_map(batch);
    let (ty, attribute) = batches.next()?;
    for (_, second) in batches {
        errors.at(
            second,
            "a second `#[batch]`: a handler takes payloads of one task type",
        );
    }
    check_options(options, errors);
    check_nothing_beside(function, errors);
    let bounds = bounds(attribute, errors);
    let payload = payload(ty, errors)?;
    let (size, wait) = bounds?;
    Some(Batch {
        payload,
        size,
        wait,
    })
}

/// Tells whether a handler is meant to be one of many payloads.
pub(crate) fn is_meant(function: &Function) -> bool {
    function
        .arguments
        .iter()
        .any(|it| it.marked("batch").is_some())
}

fn batch(argument: &Argument) -> Option<(&Type, &Attribute)> {
    let attribute = argument.marked("batch")?;
    match &argument.shape {
        Shape::Named { ty, .. } => Some((ty, attribute)),
        _ => None,
    }
}

fn check_options(options: &Options, errors: &mut Errors) {
    if let Some(key) = options.key("handles") {
        errors.at(
            key,
            "the `T` of `#[batch(…)] payloads: Vec<T>` is what the handler handles: remove `handles`",
        );
    }
    if let (Some(key), Some(_)) = (options.key("timeout"), options.function("timeout")) {
        errors.at(
            key,
            "many payloads have one timeout together, and this is a function of one: write `timeout = \"30s\"`",
        );
    }
}

fn check_nothing_beside(function: &Function, errors: &mut Errors) {
    for argument in &function.arguments {
        let Shape::Named { ident, ty, .. } = &argument.shape else {
            continue;
        };
        let is_owned = !matches!(bare(ty), Type::Reference(_));
        let is_other = ["batch", "inject"];
        if is_owned && is_other.iter().all(|name| argument.marked(name).is_none()) {
            errors.at(
                ident,
                "beside `#[batch]`, which is the payloads as a whole, there is no field for this argument: read it from \
                 each payload in the body",
            );
        }
    }
}

fn bounds(attribute: &Attribute, errors: &mut Errors) -> Option<(u16, Duration)> {
    let given = match &attribute.meta {
        Meta::List(list) => list.parse_args::<Given>().ok(),
        Meta::Path(_) | Meta::NameValue(_) => None,
    };
    let Some(Given { size, wait }) = given else {
        errors.at(
            attribute,
            format!(
                "`#[batch]` says how many payloads one call is given at the most, and how long a worker waits for more \
                 once one is there: write `{EXAMPLE}`"
            ),
        );
        return None;
    };
    let number = size.base10_parse::<u16>().ok();
    let number = number.filter(|number| (1..=MAX_SIZE).contains(number));
    if number.is_none() {
        errors.at(
            &size,
            format!("a batch has at least 1 and at most {MAX_SIZE} payloads"),
        );
    }
    Some((number?, waits(&wait, errors)?))
}

fn waits(wait: &LitStr, errors: &mut Errors) -> Option<Duration> {
    let text = wait.value();
    match duration::parse(&text) {
        Ok(wait) if wait <= MAX_WAIT => Some(wait),
        // Whatever is there then.
        Err(duration::Problem::Zero) => Some(Duration::ZERO),
        Ok(_) | Err(duration::Problem::TooLong) => {
            errors.at(
                wait,
                "a worker waits at most a minute for more payloads of a batch: their tasks are leased meanwhile",
            );
            None
        }
        Err(problem) => {
            errors.at(wait, format!("`#[batch]`: {}", problem.about(&text)));
            None
        }
    }
}

/// Returns the `T` of a `Vec<T>`.
fn payload<'a>(ty: &'a Type, errors: &mut Errors) -> Option<&'a Type> {
    let last = match bare(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    };
    let arguments = match last {
        Some(last) if last.ident == "Vec" => &last.arguments,
        _ => &PathArguments::None,
    };
    if let PathArguments::AngleBracketed(arguments) = arguments
        && arguments.args.len() == 1
        && let Some(GenericArgument::Type(payload)) = arguments.args.first()
    {
        return Some(payload);
    }
    let message = match bare(ty) {
        Type::Reference(_) => format!(
            "the payloads are given to the handler to own: write `{EXAMPLE} payloads: Vec<T>`, without `&`"
        ),
        _ => format!(
            "many payloads are a `Vec` of the type that is enqueued, and `{}` is none: write `{EXAMPLE} payloads: Vec<T>`",
            ty.to_token_stream()
        ),
    };
    errors.at(ty, message);
    None
}

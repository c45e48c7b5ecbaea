//! Reads the annotated function: its signature as syntax, its body as one opaque group.
//!
//! What the language allows is read, whether or not a handler may have it, so that
//! [`validate`](crate::validate) can say everything that is wrong at once.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::{Attribute, Generics, ReturnType, Token, Type, Visibility, WhereClause, token};

use crate::errors::Errors;

/// A function, as it stands in the source.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) qualifiers: Vec<Qualifier>,
    pub(crate) fn_token: Token![fn],
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) parens: token::Paren,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) output: ReturnType,
    pub(crate) where_clause: Option<WhereClause>,
    /// The block, or the semicolon of a function without one.
    pub(crate) body: TokenTree,
}

/// A word before `fn`: `const`, `async`, `unsafe`, `extern "C"`.
#[derive(Clone)]
pub(crate) struct Qualifier {
    pub(crate) keyword: Ident,
    pub(crate) abi: Option<syn::LitStr>,
}

/// One argument, with the comma after it.
#[derive(Clone)]
pub(crate) struct Argument {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) shape: Shape,
    pub(crate) comma: Option<Token![,]>,
}

/// What an argument looks like.
#[derive(Clone)]
pub(crate) enum Shape {
    /// `name: Type` or `mut name: Type`.
    Named {
        mutability: Option<Token![mut]>,
        ident: Ident,
        colon: Token![:],
        ty: Box<Type>,
    },
    /// `(a, b): Type`, `_: Type` and other patterns.
    Pattern {
        pattern: TokenStream,
        colon: Token![:],
        ty: Box<Type>,
    },
    /// `self` in any form.
    Receiver(TokenStream),
    /// `...` in any form.
    Variadic(TokenStream),
}

/// Reads a function, or says that the attribute does not stand on one.
pub(crate) fn function(item: TokenStream) -> syn::Result<Function> {
    Function::parse.parse2(item)
}

/// Returns what stands in the parentheses of each `#[taskq(…)]`.
pub(crate) fn taskq_attributes(input: &syn::DeriveInput, errors: &mut Errors) -> Vec<TokenStream> {
    let mut found = Vec::new();
    for attribute in input.attrs.iter().filter(|it| it.path().is_ident("taskq")) {
        match attribute.meta.require_list() {
            Ok(list) => found.push(list.tokens.clone()),
            Err(_) => errors.at(
                attribute,
                "`#[taskq]` takes options in parentheses: write `#[taskq(queue = \"mail\")]`",
            ),
        }
    }
    found
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let keyword = input.fork().parse::<TokenTree>().ok();
        let qualifiers = qualifiers(input)?;
        if !input.peek(Token![fn]) {
            return Err(syn::Error::new_spanned(
                keyword,
                "`#[task]` goes on an `async fn`",
            ));
        }
        let fn_token = input.parse()?;
        let ident = input.parse()?;
        let generics = input.parse()?;
        let content;
        let parens = syn::parenthesized!(content in input);
        let mut arguments = Vec::new();
        while !content.is_empty() {
            arguments.push(content.parse()?);
        }
        Ok(Self {
            attributes,
            visibility,
            qualifiers,
            fn_token,
            ident,
            generics,
            parens,
            arguments,
            output: input.parse()?,
            where_clause: input.parse()?,
            body: input.parse()?,
        })
    }
}

fn qualifiers(input: ParseStream<'_>) -> syn::Result<Vec<Qualifier>> {
    let mut qualifiers = Vec::new();
    while input.peek(Token![const])
        || input.peek(Token![async])
        || input.peek(Token![unsafe])
        || input.peek(Token![extern])
    {
        qualifiers.push(Qualifier {
            keyword: input.call(Ident::parse_any)?,
            abi: input.parse()?,
        });
    }
    Ok(qualifiers)
}

impl ToTokens for Qualifier {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.keyword.to_tokens(tokens);
        self.abi.to_tokens(tokens);
    }
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attributes: input.call(Attribute::parse_outer)?,
            shape: input.parse()?,
            comma: input.parse()?,
        })
    }
}

impl Parse for Shape {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if is_named(input) {
            return Ok(Self::Named {
                mutability: input.parse()?,
                ident: input.parse()?,
                colon: input.parse()?,
                ty: input.parse()?,
            });
        }
        let pattern = until_colon_or_comma(input)?;
        let is_receiver = pattern
            .clone()
            .into_iter()
            .any(|token| matches!(token, TokenTree::Ident(word) if word == "self"));
        if input.peek(Token![:]) {
            let colon = input.parse()?;
            if input.peek(Token![...]) {
                let dots: Token![...] = input.parse()?;
                return Ok(Self::Variadic(quote::quote!(#pattern #colon #dots)));
            }
            let ty = input.parse()?;
            return Ok(if is_receiver {
                Self::Receiver(quote::quote!(#pattern #colon #ty))
            } else {
                Self::Pattern { pattern, colon, ty }
            });
        }
        Ok(if is_receiver {
            Self::Receiver(pattern)
        } else {
            Self::Variadic(pattern)
        })
    }
}

fn is_named(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    ahead.parse::<Option<Token![mut]>>().is_ok()
        && ahead.parse::<Ident>().is_ok()
        && ahead.peek(Token![:])
        && !ahead.peek(Token![::])
        && !ahead.peek2(Token![...])
}

fn until_colon_or_comma(input: ParseStream<'_>) -> syn::Result<TokenStream> {
    let mut tokens = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        if input.peek(Token![::]) {
            tokens.extend(input.parse::<Token![::]>()?.into_token_stream());
        } else if input.peek(Token![:]) {
            break;
        } else {
            tokens.extend([input.parse::<TokenTree>()?]);
        }
    }
    Ok(tokens)
}

impl Argument {
    /// Returns the attribute of this name, if the argument has it.
    pub(crate) fn marked(&self, name: &str) -> Option<&Attribute> {
        (self.attributes.iter()).find(|attribute| attribute.path().is_ident(name))
    }
}

impl ToTokens for Argument {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        for attribute in &self.attributes {
            attribute.to_tokens(tokens);
        }
        self.shape.to_tokens(tokens);
        self.comma.to_tokens(tokens);
    }
}

impl ToTokens for Shape {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Named {
                mutability,
                ident,
                colon,
                ty,
            } => {
                mutability.to_tokens(tokens);
                ident.to_tokens(tokens);
                colon.to_tokens(tokens);
                ty.to_tokens(tokens);
            }
            Self::Pattern { pattern, colon, ty } => {
                pattern.to_tokens(tokens);
                colon.to_tokens(tokens);
                ty.to_tokens(tokens);
            }
            Self::Receiver(whole) | Self::Variadic(whole) => whole.to_tokens(tokens),
        }
    }
}

/// Returns the type without the parentheses, visible or not, that stand around it.
pub(crate) fn bare(mut ty: &Type) -> &Type {
    loop {
        match ty {
            Type::Paren(paren) => ty = &paren.elem,
            Type::Group(group) => ty = &group.elem,
            _ => return ty,
        }
    }
}

//! Questions that are asked of tokens, not of syntax trees.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// Splits at the commas that stand in no group. An empty piece, as after a trailing comma, is left
/// out.
pub(crate) fn split_at_commas(tokens: TokenStream) -> Vec<TokenStream> {
    let mut pieces = Vec::new();
    let mut piece = TokenStream::new();
    for token in tokens {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => {
                pieces.push(std::mem::take(&mut piece));
            }
            _ => piece.extend([token]),
        }
    }
    pieces.push(piece);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Tells whether any token, in groups too, is one of these words.
pub(crate) fn mentions(tokens: TokenStream, words: &[&str]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => words.iter().any(|word| ident == word),
        TokenTree::Group(group) => mentions(group.stream(), words),
        _ => false,
    })
}

/// Tells whether a path begins with this name.
pub(crate) fn begins_a_path(tokens: TokenStream, name: &Ident) -> bool {
    let mut after_a_colon = false;
    tokens.into_iter().any(|token| {
        let begins = !std::mem::replace(
            &mut after_a_colon,
            matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ':'),
        );
        match token {
            TokenTree::Ident(ident) => begins && ident == *name,
            TokenTree::Group(group) => begins_a_path(group.stream(), name),
            _ => false,
        }
    })
}

/// A borrow inside of a type.
pub(crate) enum Borrow {
    /// `&`.
    Reference,
    /// `'a`, with its quote.
    Lifetime(Ident, TokenStream),
}

/// Lists the references and lifetimes in a type's tokens.
pub(crate) fn borrows(tokens: TokenStream) -> Vec<Borrow> {
    let mut found = Vec::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == '&' => {
                found.push(Borrow::Reference);
            }
            TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                if let Some(TokenTree::Ident(name)) = tokens.next() {
                    let whole = [token, name.clone().into()].into_iter().collect();
                    found.push(Borrow::Lifetime(name, whole));
                }
            }
            TokenTree::Group(group) => found.extend(borrows(type_part(group))),
            _ => {}
        }
    }
    found
}

/// Makes every reference and lifetime in a type `'static`, so that the type may be a field.
pub(crate) fn with_static_lifetimes(tokens: TokenStream) -> TokenStream {
    let mut out = TokenStream::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(ref punct) if punct.as_char() == '&' => {
                let span = punct.span();
                out.extend([token]);
                let named =
                    matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '\'');
                if !named {
                    out.extend(static_lifetime(span));
                }
            }
            TokenTree::Punct(ref punct) if punct.as_char() == '\'' => {
                tokens.next();
                out.extend(static_lifetime(punct.span()));
            }
            TokenTree::Group(group) => {
                let stream = with_static_lifetimes(group.stream());
                let mut replaced = Group::new(group.delimiter(), stream);
                replaced.set_span(group.span());
                out.extend([TokenTree::from(replaced)]);
            }
            other => out.extend([other]),
        }
    }
    out
}

fn static_lifetime(span: Span) -> TokenStream {
    quote::quote_spanned!(span=> 'static)
}

/// Returns the tokens of a group without an array's length, where `&` is no reference.
fn type_part(group: &Group) -> TokenStream {
    group
        .stream()
        .into_iter()
        .take_while(|token| {
            group.delimiter() != Delimiter::Bracket
                || !matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn texts(tokens: TokenStream) -> Vec<String> {
        borrows(tokens)
            .into_iter()
            .map(|borrow| match borrow {
                Borrow::Reference => "&".into(),
                Borrow::Lifetime(_, whole) => whole.to_string(),
            })
            .collect()
    }

    #[test]
    fn commas_in_groups_do_not_split() {
        let pieces = split_at_commas(quote!(a = 1, b(c, d), e = [f, g],));
        assert_eq!(pieces.len(), 3);
        assert!(split_at_commas(TokenStream::new()).is_empty());
    }

    #[test]
    fn a_path_begins_with_its_first_name() {
        let name = Ident::new("Mailer", Span::call_site());
        assert!(begins_a_path(quote!(&(dyn Mailer + Send)), &name));
        assert!(begins_a_path(quote!(Mailer::Settings), &name));
        assert!(!begins_a_path(quote!(smtp::Mailer), &name));
        assert!(!begins_a_path(quote!(MailerSettings), &name));
    }

    #[test]
    fn borrows_are_found_at_any_depth() {
        assert_eq!(texts(quote!(Vec<(i64, Option<&str>)>)), ["&"]);
        assert_eq!(texts(quote!(Transaction<'_, Postgres>)), ["'_"]);
        assert!(texts(quote!([u8; A & B])).is_empty());
    }

    #[test]
    fn every_lifetime_becomes_static() {
        let tokens = with_static_lifetimes(quote!((&T, Cow<'_, str>, &'a U)));
        assert_eq!(
            tokens.to_string(),
            quote!((&'static T, Cow<'static, str>, &'static U)).to_string()
        );
    }
}

//! The keys in a Secret: the pair that signs, as Chains and the controller would take it, and the public halves of earlier ones.

use tekseal_cluster::{SecretData, secrets};
use tekseal_signing::{PublicKey, Signer, Zeroizing};

use super::inventory::{Inventory, Place, Role};
use crate::{Failure, exit};

/// A private key without a password, which goes before cosign's.
const PLAIN: &str = "x509.pem";

/// Adds all keys of a Secret that is called `name`; gives the one that signs.
pub(super) fn add(inventory: &mut Inventory, secret: &SecretData, name: &str) -> Option<PublicKey> {
    let place = |key: &str, role| Place {
        source: format!("{name}, {key}"),
        role,
        created: secret.created,
    };
    let public = public_half(inventory, secret, name);
    let private = private_half(inventory, secret, name);
    let signing = match (private, public) {
        (Some((key, signing)), public) => {
            let listed = inventory.add(signing.clone(), place(key, Role::Signs));
            if let Some(public) = public
                && public != signing
            {
                listed.warnings.push(format!(
                    "{} of {name} is another key, {}: whoever verifies with it takes nothing that this one signs",
                    secrets::PUBLIC_KEY,
                    public.fingerprint()
                ));
                inventory.add(public, place(secrets::PUBLIC_KEY, Role::Public));
            }
            Some(signing)
        }
        (None, Some(public)) => {
            inventory.add(public, place(secrets::PUBLIC_KEY, Role::Public));
            None
        }
        (None, None) => None,
    };
    for (at, pem) in secret.former_public_keys().enumerate() {
        let key = secrets::former_public_key(at + 1);
        match PublicKey::from_pem(pem) {
            Ok(public) => {
                inventory.add(public, place(&key, Role::Former));
            }
            Err(error) => inventory
                .warnings
                .push(format!("{key} of {name}: {}", exit::chain(&error))),
        }
    }
    signing
}

fn public_half(inventory: &mut Inventory, secret: &SecretData, name: &str) -> Option<PublicKey> {
    let pem = secret.get(secrets::PUBLIC_KEY)?;
    match PublicKey::from_pem(pem) {
        Ok(key) => Some(key),
        Err(error) => {
            let told = exit::chain(&error);
            inventory
                .warnings
                .push(format!("{} of {name}: {told}", secrets::PUBLIC_KEY));
            None
        }
    }
}

/// The public half of the private key, and under which key of the Secret that is.
fn private_half(
    inventory: &mut Inventory,
    secret: &SecretData,
    name: &str,
) -> Option<(&'static str, PublicKey)> {
    let (key, pem, password) = match (secret.get(PLAIN), secret.get(secrets::PRIVATE_KEY)) {
        (Some(pem), _) => (PLAIN, pem, &[][..]),
        (None, Some(pem)) => {
            let password = secret.get(secrets::PASSWORD).unwrap_or_default();
            (secrets::PRIVATE_KEY, pem, password)
        }
        (None, None) => {
            if secret.get(secrets::PUBLIC_KEY).is_none() {
                inventory.warnings.push(format!(
                    "{name} has neither {PLAIN} nor {} nor {}: nothing signs with it",
                    secrets::PRIVATE_KEY,
                    secrets::PUBLIC_KEY
                ));
            }
            return None;
        }
    };
    let password = Zeroizing::new(password.to_vec());
    match Signer::from_pem(pem, || Ok::<_, Failure>(password)) {
        Ok(signer) => Some((key, signer.public_key().clone())),
        Err(failure) => {
            inventory.warnings.push(format!(
                "{key} of {name} cannot be opened, so nothing signs with it: {}",
                failure.message()
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tekseal_signing::random;

    use super::*;

    fn pair(password: &[u8]) -> (Vec<u8>, PublicKey) {
        let signer = Signer::generate(&mut random::system).expect("a key");
        let pem = signer.to_encrypted_pem(password, &mut random::system);
        let pem = pem.expect("it is encrypted").into_bytes();
        (pem, signer.public_key().clone())
    }

    fn secret(pairs: &[(&str, &[u8])]) -> SecretData {
        let pairs = pairs.iter();
        let data: BTreeMap<_, _> = pairs
            .map(|(key, value)| ((*key).to_owned(), Zeroizing::new(value.to_vec())))
            .collect();
        SecretData::opaque(data)
    }

    fn listed(secret: &SecretData) -> (Inventory, Option<PublicKey>) {
        let mut inventory = Inventory::default();
        let signing = add(&mut inventory, secret, "S");
        (inventory, signing)
    }

    #[test]
    fn the_pair_and_the_earlier_keys_are_found() {
        let (pem, public) = pair(b"p");
        let (_, former) = pair(b"");
        let content = secret(&[
            ("cosign.key", &pem),
            ("cosign.password", b"p"),
            ("cosign.pub", public.to_pem().as_bytes()),
            ("cosign.pub.1", former.to_pem().as_bytes()),
        ]);
        let (inventory, signing) = listed(&content);
        assert_eq!(signing.as_ref(), Some(&public));
        let roles: Vec<_> = inventory
            .keys
            .iter()
            .map(|listed| (&listed.key, listed.places[0].role))
            .collect();
        assert_eq!(roles, [(&public, Role::Signs), (&former, Role::Former)]);
        assert_eq!(inventory.warnings(), 0);
    }

    #[test]
    fn a_public_half_of_another_pair_is_warned_of() {
        let (pem, public) = pair(b"");
        let (_, other) = pair(b"");
        let content = secret(&[
            ("cosign.key", &pem),
            ("cosign.pub", other.to_pem().as_bytes()),
        ]);
        let (inventory, signing) = listed(&content);
        assert_eq!(signing, Some(public));
        let warning = &inventory.keys[0].warnings[0];
        assert!(warning.contains(&other.fingerprint()), "{warning}");
        assert_eq!(inventory.keys[1].places[0].role, Role::Public);
    }

    #[test]
    fn what_cannot_be_opened_or_read_is_warned_of_and_shows_nothing() {
        let (pem, public) = pair(b"right");
        for (content, wanted) in [
            (
                secret(&[
                    ("cosign.key", &pem),
                    ("cosign.password", b"hunter2"),
                    ("cosign.pub", public.to_pem().as_bytes()),
                ]),
                "cosign.key of S cannot be opened",
            ),
            (
                secret(&[("x509.pem", b"hunter2"), ("cosign.key", &pem)]),
                "x509.pem of S cannot be opened",
            ),
            (secret(&[("cosign.pub", b"hunter2")]), "cosign.pub of S: "),
            (
                secret(&[("cosign.pub.1", b"hunter2")]),
                "cosign.pub.1 of S: ",
            ),
            (secret(&[("other", b"hunter2")]), "S has neither x509.pem"),
        ] {
            let (inventory, signing) = listed(&content);
            assert_eq!(signing, None);
            let told = inventory.warnings.join("\n");
            assert!(told.contains(wanted), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}

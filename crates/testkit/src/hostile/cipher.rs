//! Packets, in the clear and under aes128-gcm@openssh.com (RFC 5647).

use std::io;

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// How long the tag of a packet is.
const TAG: usize = 16;

/// One direction under a key.
pub(super) struct Gcm {
    key: LessSafeKey,
    nonce: [u8; 12],
}

impl Gcm {
    pub(super) fn new(key: &[u8], nonce: [u8; 12]) -> io::Result<Self> {
        let key = UnboundKey::new(&AES_128_GCM, key).map_err(failed)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            nonce,
        })
    }

    fn next(&mut self) -> Nonce {
        let nonce = self.nonce;
        let mut counter = [0; 8];
        counter.copy_from_slice(&nonce[4..]);
        let counter = u64::from_be_bytes(counter).wrapping_add(1);
        self.nonce[4..].copy_from_slice(&counter.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Returns the packet of a payload.
pub(super) fn seal(cipher: Option<&mut Gcm>, payload: &[u8]) -> io::Result<Vec<u8>> {
    // The length counts for the blocks in the clear only.
    let (block, counted) = if cipher.is_some() { (16, 1) } else { (8, 5) };
    let over = (counted + payload.len() + 4) % block;
    let padding = 4 + (block - over) % block;
    padded(cipher, payload, padding)
}

/// The same with as much padding as one likes.
pub(super) fn padded(cipher: Option<&mut Gcm>, payload: &[u8], padding: usize) -> io::Result<Vec<u8>> {
    let length = 1 + payload.len() + padding;
    let head = u32::try_from(length).map_err(io::Error::other)?.to_be_bytes();
    let mut packet = Vec::with_capacity(4 + length + TAG);
    packet.extend_from_slice(&head);
    packet.push(u8::try_from(padding).map_err(io::Error::other)?);
    packet.extend_from_slice(payload);
    packet.resize(4 + length, 0);
    if let Some(cipher) = cipher {
        let nonce = cipher.next();
        let tag = cipher
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(head), &mut packet[4..])
            .map_err(failed)?;
        packet.extend_from_slice(tag.as_ref());
    }
    Ok(packet)
}

/// Reads one packet and returns its payload.
pub(super) fn open(cipher: Option<&mut Gcm>, from: &mut impl io::Read) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let length = usize::try_from(u32::from_be_bytes(head)).map_err(io::Error::other)?;
    if length > 1 << 20 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let tag = if cipher.is_some() { TAG } else { 0 };
    let mut packet = vec![0; length + tag];
    from.read_exact(&mut packet)?;
    if let Some(cipher) = cipher {
        let nonce = cipher.next();
        cipher
            .key
            .open_in_place(nonce, Aad::from(head), &mut packet)
            .map_err(failed)?;
        packet.truncate(length);
    }
    let padding = usize::from(packet.first().copied().unwrap_or(0));
    let end = length.checked_sub(padding).ok_or(io::ErrorKind::InvalidData)?;
    Ok(packet.get(1..end).unwrap_or_default().to_vec())
}

/// What ring says of a failure, which is little.
pub(super) fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

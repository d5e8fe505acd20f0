/**
 * Where things are in the bytes of a valid header, which has one form only: one byte each for the array's head and the version,
 * 34 for the key, 66 for the signature, each with its head of two bytes; whatever else there is comes behind.
 */

/** The 32 bytes of the key. */
export const keyStart = 4

/** Where the element of the signature begins: it ends with the key. */
export const signatureStart = 36

/** Behind the signature, the last 64 bytes of its element. */
export const signatureEnd = 102

// Reading bits and codes, for the files that decode symbols. Included only by files compiled for AVX2 and BMI2.
#pragma once
#include "jpeg.h"

#include <cstring>

#pragma GCC target("bmi,bmi2")

#define JPEG_INLINE static inline __attribute__((always_inline))

namespace asda {

JPEG_INLINE void refill(Bits &bits) {
    uint64_t word;
    std::memcpy(&word, bits.next, 8);
    bits.buffer |= __builtin_bswap64(word) >> bits.count;
    bits.next += (63 - bits.count) >> 3;
    bits.count |= 56;
}

JPEG_INLINE void drop(Bits &bits, int n) {
    bits.buffer <<= n;
    bits.count -= n;
}

// The value of the first `size` (0..15) of these bits, without a branch: a leading 0 means negative.
JPEG_INLINE int extend(uint64_t buffer, int size) {
    const int raw = int(buffer >> 1 >> (63 - size));
    return raw + (~int(int64_t(buffer) >> 63) & (int(~0u << size) + 1));
}

// The symbol of the next code, and the code's length; 0 if there is none.
JPEG_INLINE int long_code(const Huffman &table, uint64_t buffer, int &symbol) {
    const int32_t code = int32_t(buffer >> 48);
    for (int length = 1; length <= 16; ++length)
        if (code < table.limit[length]) {
            symbol = table.symbols[((code >> (16 - length)) + table.offset[length]) & 255];
            return length;
        }
    return 0;
}

// Nonsense may overflow: that is no undefined behaviour here.
JPEG_INLINE int add(int a, int b) { return int(unsigned(a) + unsigned(b)); }

JPEG_INLINE bool read_dc(Bits &bits, const Huffman &table, int &predictor) {
    refill(bits);
    const uint32_t entry = table.one[bits.buffer >> (64 - FAST_BITS)];
    if (__builtin_expect(entry & 0xff00, 1)) {
        predictor = add(predictor, extend(bits.buffer << (entry >> 16 & 255), int(entry >> 24)));
        drop(bits, int(entry & 255));
        return true;
    }
    int symbol = 0;
    const int length = long_code(table, bits.buffer, symbol);
    if (!length)
        return false;
    drop(bits, length);
    predictor = add(predictor, extend(bits.buffer, symbol));
    drop(bits, symbol);
    return true;
}

} // namespace asda

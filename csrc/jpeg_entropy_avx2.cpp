// Huffman decoding (ITU T.81 annex F.2.2), the part that no crop can skip.
//
// The buffer holds at least 56 bits after a refill; a code with its value has at most 31. Refilling has no branch, and
// the word that it loads was addressed a symbol earlier, so only a shift and an OR lie on the path from symbol to
// symbol.
#include "jpeg.h"

#include <algorithm>
#include <cstring>

#pragma GCC target("bmi,bmi2")

namespace asda {
namespace {

inline void refill(Bits &bits) {
    uint64_t word;
    std::memcpy(&word, bits.next, 8);
    bits.buffer |= __builtin_bswap64(word) >> bits.count;
    bits.next += (63 - bits.count) >> 3;
    bits.count |= 56;
}

inline void drop(Bits &bits, int n) {
    bits.buffer <<= n;
    bits.count -= n;
}

// The value of the first `size` (0..15) of these bits, without a branch: a leading 0 means negative.
inline int extend(uint64_t buffer, int size) {
    const int raw = int(buffer >> 1 >> (63 - size));
    return raw + (~int(int64_t(buffer) >> 63) & (int(~0u << size) + 1));
}

// The symbol of the next code, and the code's length; 0 if there is none.
inline int long_code(const Huffman &table, uint64_t buffer, int &symbol) {
    const int32_t code = int32_t(buffer >> 48);
    for (int length = 1; length <= 16; ++length)
        if (code < table.limit[length]) {
            symbol = table.symbols[((code >> (16 - length)) + table.offset[length]) & 255];
            return length;
        }
    return 0;
}

// Places of a zigzag position, with room for what runs over the end: it lands on a 65th coefficient.
struct Order {
    uint8_t place[64 + END + 1];
    constexpr Order() : place() {
        for (int i = 0; i < int(sizeof place); ++i)
            place[i] = i < 64 ? ZIGZAG[i] : 64;
    }
};
constexpr Order ORDER;

// Nonsense may overflow: that is no undefined behaviour here.
inline int add(int a, int b) { return int(unsigned(a) + unsigned(b)); }

inline bool read_dc(Bits &bits, const Huffman &table, int &predictor) {
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

// One AC symbol with a long code: the new place (END or more at the end of the block), -1 on nonsense.
inline int long_ac(Bits &bits, const Huffman &table, int place, int &value) {
    int symbol = 0;
    const int length = long_code(table, bits.buffer, symbol);
    if (!length)
        return -1;
    drop(bits, length);
    const int run = symbol >> 4, size = symbol & 15;
    value = extend(bits.buffer, size);
    drop(bits, size);
    return place + (size || run == 15 ? run + 1 : END);
}

} // namespace

bool Huffman::build(bool for_dc) {
    if (built)
        return dc == for_dc;
    dc = for_dc;
    std::memset(one, 0, sizeof one);
    int32_t code = 0;
    int total = 0;
    for (int length = 1; length <= 16; ++length) {
        offset[length] = total - code;
        if (code + counts[length] > 1 << length)
            return false;
        for (int i = 0; i < counts[length]; ++i, ++code, ++total) {
            const int symbol = symbols[total], run = dc ? 0 : symbol >> 4, size = dc ? symbol : symbol & 15;
            if (size > 15)
                return false;
            const int steps = dc || size || run == 15 ? run + 1 : END;
            const uint32_t entry = uint32_t(size << 24 | length << 16 | steps << 8 | (length + size));
            if (length <= FAST_BITS)
                std::fill_n(one + (code << (FAST_BITS - length)), 1 << (FAST_BITS - length), entry);
        }
        limit[length] = code << (16 - length);
        code <<= 1;
    }
    constexpr int MASK = (1 << MANY_BITS) - 1;
    for (int window = 0; !dc && window <= MASK; ++window) {
        int used = 0, steps = 0;
        bool ends = false;
        while (!ends && used < MANY_BITS) {
            const uint32_t entry = one[(window << used & MASK) >> (MANY_BITS - FAST_BITS)];
            const int step = int(entry >> 8 & 255), length = int(entry & 255);
            if (!step || used + length > MANY_BITS || (step != END && steps + step > 63))
                break;
            ends = step == END;
            steps += ends ? 0 : step;
            used += length;
        }
        many[window] = uint16_t(used ? steps << 8 | (ends ? 128 : 0) | used : 0);
    }
    built = total > 0;
    return built;
}

int read_block(Bits &bits, const Huffman &dc, const Huffman &ac, int &predictor, int16_t *coefficients) {
    Bits b = bits; // in registers
    if (!read_dc(b, dc, predictor))
        return 0;
    coefficients[0] = int16_t(predictor);
    int place = 1;
    while (place < 64) {
        refill(b);
        const uint32_t entry = ac.one[b.buffer >> (64 - FAST_BITS)];
        int value;
        if (__builtin_expect(entry & 0xff00, 1)) {
            value = extend(b.buffer << (entry >> 16 & 255), int(entry >> 24));
            drop(b, int(entry & 255));
            place += int(entry >> 8 & 255);
        } else {
            place = long_ac(b, ac, place, value);
            if (place < 0)
                return 0;
        }
        coefficients[ORDER.place[place - 1]] = int16_t(value);
    }
    bits = b;
    if (place >= END)
        return place - END;
    return place == 64 ? 64 : 0; // a run over the end is nonsense
}

bool skip_block(Bits &bits, const Huffman &dc, const Huffman &ac, int &predictor) {
    Bits b = bits;
    if (!read_dc(b, dc, predictor))
        return false;
    int place = 1;
    while (place < 64) {
        refill(b);
        const int entry = ac.many[b.buffer >> (64 - MANY_BITS)], ends = entry >> 7 & 1;
        // Symbols after the block's 64th place belong to the next block: then one at a time.
        if (__builtin_expect(entry != 0 && place + (entry >> 8) + ends <= 64, 1)) {
            drop(b, entry & 127);
            place += (entry >> 8) + ends * END;
            continue;
        }
        const uint32_t single = ac.one[b.buffer >> (64 - FAST_BITS)];
        if (single & 0xff00) {
            drop(b, int(single & 255));
            place += int(single >> 8 & 255);
        } else {
            int value;
            place = long_ac(b, ac, place, value);
            if (place < 0)
                return false;
        }
    }
    bits = b;
    return place == 64 || place >= END;
}

} // namespace asda

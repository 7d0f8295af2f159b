// A JPEG decoder for crops: only what the crop touches becomes pixels, and nothing below it is even read.
//
// libjpeg decodes a photo whole. A crop of one person usually touches only a part of it. Entropy coding forces us
// through every symbol above the crop, but outside the crop a symbol is only stepped over (several per table look-up),
// and the scan ends with the crop's last row of blocks. Inside, the arithmetic is libjpeg's default, step by step (its
// "islow" inverse DCT, triangle upsampling of the colours, 16-bit colour matrix): the pixels are equal, bit for bit.
//
// Only what nearly every photo is: 8 bits, Huffman, one sequential scan or progressive, grey or YCbCr 4:4:4, 4:2:2,
// 4:2:0. Anything else is FOREIGN: the caller hands it to libjpeg, which judges it by the same rule.
//
// The rule: a photo is taken when its compressed data makes sense, symbol by symbol, and ends where the marker after it
// stands. Every row down to the last that the crop touches is walked, also those above it; a crop at the lower edge,
// and a whole photo, is checked to the end. Stricter than libjpeg, which passes over runs beyond the end of a block,
// means that no photo can have, and up to seven bytes left over.
//
//   jpeg_parse.cpp         markers -> Photo; entropy-coded bytes without their stuffing
//   jpeg_entropy_avx2.cpp  Huffman tables; symbols -> coefficients of a block
//   jpeg_pixels_avx2.cpp   coefficients -> samples -> RGB -> means of it
//   jpeg_progressive_avx2.cpp  the scans of a progressive photo -> coefficients, down to the crop's last row
//   jpeg_walk.cpp          the walk over the blocks, with or without making pixels of them
//   jpeg_crop.cpp          one person's crop from a photo's bytes; the Python bindings
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace asda {

constexpr int64_t MAX_PIXELS = int64_t(1) << 27;

enum class Verdict { // numbered as in core/images.py
    FINE,
    FOREIGN,    // for libjpeg to decode, and to judge
    OTHER_SIZE, // not of the size that the caller expects
    NONSENSE,   // codes that no encoder writes
    SHORT,      // the data ends before the photo does
    LEFT_OVER,  // the photo ends before the data does
};

// Tables are looked up with the next bits of the stream: FAST_BITS for one symbol, MANY_BITS for as many whole symbols
// as fit, when their values do not matter.
constexpr int FAST_BITS = 10, MANY_BITS = 12;
struct Huffman {
    bool set = false, built = false, skips = false, dc = false; // skips: `many` is filled in
    uint8_t counts[17] = {};
    uint8_t symbols[256] = {};
    int32_t limit[18];  // first code, left-aligned to 16 bits, that is longer than this many bits
    int32_t offset[17]; // symbol index of a code = (code >> (16 - length)) + offset[length]
    // size of the value (at the end of a block: the run) << 24 | bits of the code << 16 | places to step << 8 | bits of
    // code and value. Steps: END = end of block, 0 = the code is longer than FAST_BITS.
    uint32_t one[1 << FAST_BITS];
    // places to step << 8 | ends the block << 7 | bits; 0 = not one symbol fits.
    uint16_t many[1 << MANY_BITS];

    bool build(bool for_dc, bool skipping);
};
constexpr int END = 128;

struct Component {
    int h = 1, v = 1; // blocks across and down in one MCU
    int quant = 0, dc = 0, ac = 0;
    int width = 0, height = 0; // samples
    int brightest = 0;         // see brightest() below; of a sequential photo
};

struct Photo {
    int width = 0, height = 0;
    int components = 0;
    Component component[3];
    bool quant_set[4] = {};
    alignas(32) int16_t quant[4][64]; // natural order
    Huffman dc[4], ac[4];
    bool progressive = false;
    bool stray = false; // bytes that belong to no segment stand before one
    int restart = 0;    // MCUs between restart markers, 0 = none
    int mcu_width = 8, mcu_height = 8, mcus_across = 0, mcus_down = 0;
    const uint8_t *scan = nullptr; // first entropy-coded byte; of a progressive photo the first scan's marker
    size_t scan_size = 0;          // bytes from there to the end of the file
    uint8_t ids[3] = {};           // what scans call the components
};

// Zigzag place -> natural place.
inline constexpr uint8_t ZIGZAG[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                       12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                       35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                       58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

bool parse(const uint8_t *data, size_t size, Photo &photo);
bool huffman_tables(const uint8_t *p, const uint8_t *end, Photo &photo); // the body of a DHT segment

// No mean of a block of component c, as stored, is farther from 0.
int brightest(const Photo &photo, int c);

// Entropy-coded data without stuffed zeros, cut at restart markers. `begin` has segments + 1 offsets into `bytes`,
// which ends in PADDING zeros. Returns the marker that ends it (at its 0xff), nullptr if none does or a restart marker
// is out of turn.
constexpr size_t PADDING = 8192;
struct Scan {
    std::vector<uint8_t> bytes;
    std::vector<size_t> begin;
};
const uint8_t *unstuff(const uint8_t *data, size_t size, bool restarts, Scan &scan);

struct Bits {
    uint64_t buffer = 0; // the next bit is the highest
    int count = 0;
    const uint8_t *next;
};

// Blocks of one component. coefficients: natural order, cleared by the caller. Returns the number of zigzag places used
// (1 = flat block), 0 on nonsense. The caller has made sure that a block's worth of bytes may be read.
int read_block(Bits &bits, const Huffman &dc, const Huffman &ac, int &predictor, int16_t *coefficients);
// Pass over `count` MCUs of data that ends at `end`.
Verdict skip_mcus(Bits &bits, const Photo &photo, int *predictor, int64_t count, const uint8_t *end);
// Whole bytes not used yet; negative: more were used than there are.
inline ptrdiff_t left_over(const Bits &bits, const uint8_t *end) { return end - (bits.next - (bits.count >> 3)); }
inline bool overrun(const Bits &bits, const uint8_t *end) { return left_over(bits, end) < 0; }

// The coefficients of a progressive photo, all blocks of the MCU rows [0, rows): component c has photo.mcus_across * h
// blocks to a row.
Verdict read_progressive(Photo &photo, int rows, Scan &scan, std::vector<int16_t> *coefficients);

struct Region { // pixels or MCUs [left, right) x [top, bottom)
    int left, top, right, bottom;
};
constexpr int SLACK = 64; // bytes beyond a row that vector code may touch
struct Plane {
    std::vector<uint8_t> data;
    ptrdiff_t stride = 0;
};
// Room for `size` values, whatever they are: a vector that shrinks and grows again would be cleared each time.
template <class T> void make_room(std::vector<T> &values, size_t size) {
    if (values.size() < size)
        values.resize(size);
}
struct Scratch { // a thread's buffers, kept from photo to photo
    Photo photo;
    Scan scan;
    Plane plane[3];
    Plane rgb; // R G B 0
    std::vector<uint8_t> strip, colour[2];
    std::vector<int16_t> sums, coefficients[3];

    void trim();
};
// Walk the photo down to MCU row mcus.bottom and make samples of the MCUs `mcus` (none: only walk) in the planes.
Verdict walk(const Region &mcus, Scratch &scratch);

// What a crop from a JPEG's bytes comes to: uint8 RGB [height, width, 3] in `out`, undefined unless FINE. matrix:
// [2, 3], crop pixel -> photo pixel. expected: the photo's size, {0, 0} for any. shrink 2, 4 or 8: of a photo so much
// smaller, each pixel the mean of shrink x shrink.
struct Size {
    int height, width;
};
Verdict jpeg_crop(const uint8_t *data, size_t size, const Size &expected, const double *matrix, uint8_t *out,
                  int height, int width, int shrink);

// A whole photo of this size: uint8 RGB [ceil(height / shrink), ceil(width / shrink), 3] in `out`, undefined unless
// FINE.
Verdict jpeg_read(const uint8_t *data, size_t size, uint8_t *out, int height, int width, int shrink);

// Judge a photo as far down as a crop would read it (matrix nullptr: to its end), without making pixels. rows: the MCU
// rows that this takes; if known_rows are as many, they are not walked again.
struct Judged {
    Verdict verdict = Verdict::FOREIGN;
    int height = 0, width = 0, rows = 0;
    bool stray = false;
};
Judged jpeg_check(const uint8_t *data, size_t size, const double *matrix, int height, int width, int known_rows);

// Two blocks -> 8x8 samples each.
struct Block {
    const int16_t *coefficients, *quant;
    uint8_t *out;
    ptrdiff_t stride;
    bool flat;
};
void inverse_dct(const Block &a, const Block &b);

// One row of colour samples, twice as wide. near, far: rows of `count` samples (far == nullptr: 4:2:2, no blend down).
// out gets 2 * count samples; scratch holds count + 64.
void upsample(const uint8_t *near_row, const uint8_t *far_row, int count, int16_t *scratch, uint8_t *out);
// count pixels, R G B 0. Reads and writes up to 31 pixels beyond.
void to_rgb(const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int count, uint8_t *out);
void grey_to_rgb(const uint8_t *y, int count, uint8_t *out);
// The means of shrink x shrink pixels (2, 4, 8) of `height` <= shrink rows of `width` pixels, R G B 0; at the edges of
// what is there. Reads up to 7 pixels beyond a row, writes up to 3 beyond the means.
void average(const uint8_t *rows, ptrdiff_t stride, int height, int width, int shrink, uint8_t *out);

} // namespace asda

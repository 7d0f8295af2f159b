// Mutated photos through the region decoder, built with AddressSanitizer and UBSan by test_jpeg_fuzz.py:
//   jpeg_fuzz MUTATIONS-PER-FILE FILE...
// Every input lies in a heap block of its exact size. Prints how many were decoded and how many refused.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "jpeg.h"

int main(int count, char **arguments) {
    std::mt19937_64 random(1);
    auto below = [&](size_t n) { return size_t(random() % n); };
    const int turns = std::atoi(arguments[1]);
    long decoded = 0, refused = 0;
    for (int i = 2; i < count; ++i) {
        std::ifstream file(arguments[i], std::ios::binary);
        const std::string whole((std::istreambuf_iterator<char>(file)), {});
        for (int turn = 0; turn < turns; ++turn) {
            std::string bytes = whole;
            if (turn % 5 == 4)
                bytes.resize(1 + below(bytes.size()));
            const size_t reach =
                turn % 3 == 0 ? std::min<size_t>(bytes.size(), 700) : bytes.size(); // headers break most
            for (size_t k = turn == 0 ? 0 : below(20); k > 0; --k)
                bytes[below(reach)] = char(random());
            if (turn % 7 == 0 && bytes.size() > 4) // an end marker, so that the scan itself is reached
                bytes[bytes.size() - 2] = char(0xff), bytes[bytes.size() - 1] = char(0xd9);
            auto exact = std::make_unique<uint8_t[]>(bytes.size());
            std::memcpy(exact.get(), bytes.data(), bytes.size());
            std::vector<uint8_t> out(64 * 48 * 3);
            const double scale = 0.5 + double(below(1000)) / 300, angle = double(below(628)) / 100;
            const double matrix[6] = {scale * std::cos(angle), -scale * std::sin(angle), double(below(200)),
                                      scale * std::sin(angle), scale * std::cos(angle),  double(below(160))};
            const asda::Verdict verdict =
                asda::jpeg_crop(exact.get(), bytes.size(), {0, 0}, matrix, out.data(), 64, 48, 1);
            const asda::Judged judged = asda::jpeg_check(exact.get(), bytes.size(), matrix, 64, 48, 0);
            if (verdict != judged.verdict)
                return 1;
            const int shrink = 1 << turn % 4;
            if (shrink > 1) // reaches a few rows farther, so it may judge otherwise
                asda::jpeg_crop(exact.get(), bytes.size(), {0, 0}, matrix, out.data(), 64, 48, shrink);
            const asda::Judged whole = asda::jpeg_check(exact.get(), bytes.size(), nullptr, 0, 0, 0);
            if (int64_t(whole.height) * whole.width <= 1 << 16) {
                const auto smaller = [&](int size) { return size_t((size + shrink - 1) / shrink); };
                std::vector<uint8_t> photo(3 * smaller(whole.height) * smaller(whole.width));
                if (asda::jpeg_read(exact.get(), bytes.size(), photo.data(), whole.height, whole.width, shrink) !=
                    whole.verdict)
                    return 1;
            }
            (verdict == asda::Verdict::FINE ? decoded : refused) += 1;
        }
    }
    std::printf("%ld decoded, %ld refused\n", decoded, refused);
}

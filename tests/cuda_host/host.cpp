// The shipped kernels as functions of a shared library (tests/ops/test_cuda_host.py calls them on CPU tensors), and as
// a program that replays recorded launches under a sanitizer: every buffer lies in its own heap block of its exact
// size.
#include "shim.h"

#define ASDA_IMAGE float
#define ASDA_OUT float
#define ASDA_IMAGE_NHWC 0
#define ASDA_OUT_NHWC 0
#define ASDA_WIDE 1
#define ASDA_NEED_IMAGE 1
#include "paste_backward.cu"
#include "paste_forward.cu"

#include <cstdio>
#include <cstdlib>

using namespace asda;

// (code, image, image is NHWC, out, out is NHWC); code = image * 1000 + NHWC * 100 + out * 10 + NHWC, types as in
// TYPES. 0 double, 1 float, 2 bfloat, 3 half, 4 byte
#define SOME_PAIRS(X)                                                                                                  \
    X(1010, float, false, float, false)                                                                                \
    X(1011, float, false, float, true)                                                                                 \
    X(4131, byte_t, true, half_t, true)
#ifdef SANITIZED // fewer, because instrumented code takes its time to compile
#define PAIRS(X) SOME_PAIRS(X)
#else
#define PAIRS(X)                                                                                                       \
    SOME_PAIRS(X)                                                                                                      \
    X(1110, float, true, float, false)                                                                                 \
    X(1111, float, true, float, true)                                                                                  \
    X(0, double, false, double, false)                                                                                 \
    X(3030, half_t, false, half_t, false)                                                                              \
    X(2121, bfloat_t, true, bfloat_t, true)                                                                            \
    X(3010, half_t, false, float, false)                                                                               \
    X(1031, float, false, half_t, true)                                                                                \
    X(4110, byte_t, true, float, false)                                                                                \
    X(4111, byte_t, true, float, true)                                                                                 \
    X(4120, byte_t, true, bfloat_t, false)                                                                             \
    X(4010, byte_t, false, float, false)                                                                               \
    X(4101, byte_t, true, double, true)                                                                                \
    X(4141, byte_t, true, byte_t, true)                                                                                \
    X(4040, byte_t, false, byte_t, false)
#endif

struct Launch {
    int64_t code, backward, wide, need_image, blocks, processors, skip;
};

template <class Image, bool IN, class Out, bool ON, bool WIDE> int run(const Launch &l, const void *params) {
    typedef typename Compute<Out>::type S;
    const Paste<S> p = *static_cast<const Paste<S> *>(params);
    shim::skipped = int(l.skip);
    if (!l.backward)
        shim::launch(l.blocks, THREADS, l.processors, [&] { paste_forward_block<Image, IN, Out, ON, WIDE>(p); });
    else if constexpr (sizeof(Out) == 1) // has no gradient
        return 1;
    else if (!l.need_image)
        shim::launch(l.blocks, THREADS, l.processors,
                     [&] { paste_backward_block<Image, IN, Out, ON, WIDE, false>(p); });
    else if constexpr (sizeof(Image) > 1)
        shim::launch(l.blocks, THREADS, l.processors, [&] { paste_backward_block<Image, IN, Out, ON, WIDE, true>(p); });
    else
        return 1;
    return 0;
}

// 0, or 1 if this library holds no such kernel.
extern "C" int asda_run(const Launch *l, const void *params) {
#define RUN(code_, Image, IN, Out, ON)                                                                                 \
    if (l->code == code_)                                                                                              \
        return l->wide ? run<Image, IN, Out, ON, (sizeof(Out) > 1)>(*l, params)                                        \
                       : run<Image, IN, Out, ON, false>(*l, params);
    PAIRS(RUN)
    return 1;
}
extern "C" int64_t asda_params_size(int wide) { return wide ? sizeof(Paste<double>) : sizeof(Paste<float>); }

#ifdef SANITIZED
// stdin: launches. Each: Launch, size of the parameter, the parameter, then for each of its 12 pointers the size of the
// buffer and its bytes. stdout: the buffers again. argv[1]: the number of a buffer that is made 16 bytes short.
int main(int argc, char **argv) {
    const int planted = argc > 1 ? std::atoi(argv[1]) : -1;
    Launch l;
    while (std::fread(&l, sizeof l, 1, stdin) == 1) {
        int64_t size;
        if (std::fread(&size, 8, 1, stdin) != 1)
            return 2;
        std::vector<char> params(size);
        if (std::fread(params.data(), 1, size, stdin) != size_t(size))
            return 2;
        std::vector<std::pair<char *, size_t>> buffers;
        for (int i = 0; i < 12; ++i) {
            if (std::fread(&size, 8, 1, stdin) != 1)
                return 2;
            std::vector<char> bytes(size);
            if (std::fread(bytes.data(), 1, size, stdin) != size_t(size))
                return 2;
            const size_t held = i == planted && size > 16 ? size - 16 : size;
            char *buffer = static_cast<char *>(std::malloc(held)); // aligned to 16
            if (held)
                std::memcpy(buffer, bytes.data(), held);
            std::memcpy(params.data() + i * sizeof(void *), &buffer, sizeof(void *));
            buffers.emplace_back(buffer, held);
        }
        if (asda_run(&l, params.data()))
            return 3;
        for (auto &[buffer, held] : buffers) {
            std::fwrite(buffer, 1, held, stdout);
            std::free(buffer);
        }
    }
    return 0;
}
#endif

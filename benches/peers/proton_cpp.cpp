/* Proton C++ as a bench peer: one connection, one link, at-least-once, on 127.0.0.1.
 *
 *     proton_cpp recv PORT COUNT CREDIT          listens, takes COUNT messages, with CREDIT as the library's credit window
 *     proton_cpp send PORT COUNT SIZE [CREDIT]   connects, sends COUNT messages of one data section of SIZE bytes
 *
 * It prints what proton_c.c prints.
 */
#include <proton/connection.hpp>
#include <proton/connection_options.hpp>
#include <proton/container.hpp>
#include <proton/delivery.hpp>
#include <proton/delivery_mode.hpp>
#include <proton/error_condition.hpp>
#include <proton/listen_handler.hpp>
#include <proton/listener.hpp>
#include <proton/message.hpp>
#include <proton/message_id.hpp>
#include <proton/messaging_handler.hpp>
#include <proton/receiver_options.hpp>
#include <proton/sender.hpp>
#include <proton/sender_options.hpp>
#include <proton/tracker.hpp>
#include <proton/transport.hpp>

#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

constexpr uint32_t max_frame = 32768;

double wall_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu_now() {
  rusage r;
  getrusage(RUSAGE_SELF, &r);
  return double(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + double(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

struct announcer : proton::listen_handler {
  void on_open(proton::listener &) override { std::fprintf(stderr, "ready\n"); }
  void on_error(proton::listener &, const std::string &what) override { std::fprintf(stderr, "listen: %s\n", what.c_str()); }
};

class peer : public proton::messaging_handler {
 public:
  peer(bool sends, std::string url, long count, long last) : sends_(sends), url_(std::move(url)), count_(count) {
    if (sends_)
      body_ = proton::binary(std::string(size_t(last), 'x'));
    else
      credit_ = int(last);
  }

  bool done() const { return finished_ == count_; }

  void on_container_start(proton::container &container) override {
    proton::connection_options options;
    options.max_frame_size(max_frame).sasl_allowed_mechs("ANONYMOUS");
    if (sends_) {
      container.open_sender(url_ + "/bench", proton::sender_options().delivery_mode(proton::delivery_mode::AT_LEAST_ONCE), options);
    } else {
      container.receiver_options(proton::receiver_options().credit_window(credit_));
      container.server_connection_options(options);
      listener_ = container.listen(url_, announcer_);
    }
  }

  void on_sendable(proton::sender &sender) override {
    while (sender.credit() > 0 && started_ < count_) {
      if (started_ == 0) start_clocks();
      proton::message message;
      message.id(proton::message_id(uint64_t(started_++)));
      message.body(body_);
      message.inferred(true);
      sender.send(message);
    }
  }

  void on_tracker_accept(proton::tracker &tracker) override {
    if (++finished_ == count_) {
      report("send");
      tracker.connection().close();
    }
  }

  void on_message(proton::delivery &, proton::message &message) override {
    if (finished_ == 0) start_clocks();
    if (proton::get<proton::binary>(message.body()).empty()) {
      std::fprintf(stderr, "a message has no body\n");
      std::exit(1);
    }
    if (++finished_ == count_) report("recv");
  }

  void on_transport_close(proton::transport &) override {
    if (!sends_) listener_.stop();
  }

  void on_transport_error(proton::transport &transport) override {
    std::fprintf(stderr, "%s\n", transport.error().what().c_str());
  }

 private:
  void start_clocks() {
    wall_ = wall_now();
    cpu_ = cpu_now();
  }

  void report(const char *role) {
    std::printf("{\"impl\":\"proton-cpp\",\"role\":\"%s\",\"n\":%ld,\"secs\":%.6f,\"cpu\":%.6f}\n", role, finished_,
                wall_now() - wall_, cpu_now() - cpu_);
    std::fflush(stdout);
  }

  bool sends_;
  std::string url_;
  long count_;
  int credit_ = 0;
  long started_ = 0;   /* messages handed to the link */
  long finished_ = 0;  /* messages accepted */
  double wall_ = 0, cpu_ = 0;
  proton::binary body_;
  proton::listener listener_;
  announcer announcer_;
};

}  // namespace

int main(int argc, char **argv) {
  std::string role = argc > 1 ? argv[1] : "";
  if (argc < 5 || (role != "send" && role != "recv")) {
    std::fprintf(stderr, "usage: %s recv PORT COUNT CREDIT | send PORT COUNT SIZE [CREDIT]\n", argv[0]);
    return 64;
  }
  peer handler(role == "send", std::string("amqp://127.0.0.1:") + argv[2], std::atol(argv[3]), std::atol(argv[4]));
  proton::container(handler).run();
  return handler.done() ? 0 : 1;
}

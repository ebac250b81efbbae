/*
 * The lab's sandbox process: it holds a pod's namespaces open and does nothing else.
 *
 * In a shared pid namespace it is process 1 of the whole pod, so it has two duties that a sleeping shell would not do:
 * collect orphans of all containers, and end at once on TERM or INT (the kernel drops both for a process 1 that has no
 * handler). Signals are blocked and taken one by one with sigwaitinfo, so there is no handler and no race.
 *
 * Build: gcc -static -Os -o pause pause.c
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "-v") == 0) {
		puts("pause of the node lab");
		return 0;
	}

	sigset_t waited;
	sigemptyset(&waited);
	sigaddset(&waited, SIGCHLD);
	sigaddset(&waited, SIGINT);
	sigaddset(&waited, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &waited, NULL) != 0) {
		perror("pause: cannot block signals");
		return 1;
	}

	/* Children may have ended before SIGCHLD was blocked. */
	reap();
	for (;;) {
		int got = sigwaitinfo(&waited, NULL);
		if (got == SIGCHLD)
			reap();
		else if (got == SIGINT || got == SIGTERM)
			return 0;
		else if (got < 0 && errno != EINTR) {
			perror("pause: cannot wait for signals");
			return 1;
		}
	}
}

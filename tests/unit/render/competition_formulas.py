"""Formulas in the style of competition mathematics, written for these tests: a list by hand, and families of them."""

from __future__ import annotations

BY_HAND = r"""
x
1.24
\$1.24
50\%
1,\!400
3\frac{1}{2}
\frac12
\dfrac{a+b}{c-d}
\tfrac{3}{4}\cdot\tfrac{8}{9}
\cfrac{1}{1+\cfrac{1}{1+x}}
\sqrt{2}+\sqrt[3]{5}
\frac{-b\pm\sqrt{b^2-4ac}}{2a}
\boxed{14}
\boxed{\dfrac{7\sqrt{3}}{2}}
\left(\frac{x}{3x-7}\right)^2=\frac{2}{5}
\left\lfloor\frac{n}{2}\right\rfloor+\lceil x\rceil
\left|x-3\right|\le 5
\|\mathbf{v}\|=\sqrt{13}
\binom{n}{k}=\frac{n!}{k!(n-k)!}
\dbinom{10}{3}
\dbinom42
\sum_{n=1}^\infty\frac{n}{3^n}
\prod_{k=1}^{10}\left(1+\frac1k\right)
\int_0^1 x^2\,dx
\lim_{x\to 0}\frac{\sin x}{x}
\begin{pmatrix}1&2\\3&4\end{pmatrix}
\begin{pmatrix}1&1\\1&0\end{pmatrix}^{10}
\begin{vmatrix}a&b\\c&d\end{vmatrix}^2=ad-bc
\begin{bmatrix}1\\2\\3\end{bmatrix}
\begin{align*}x+y&=5\\x-y&=1\end{align*}
\begin{aligned}a&=1\\b&=2\end{aligned}
\begin{cases}x&\text{if }x>2\\2x&\text{if }x\le 2\end{cases}
f(x)=\left\{\begin{array}{cl}ax+3&\text{ if }x>2\\x-5&\text{ if }-2\le x\le 2\end{array}\right.
\begin{array}{c|c}x&y\\\hline 1&7\\3&13\end{array}
\begin{array}{|r||c|}a&b\\c&d\end{array}
\begin{tabular}{|l|c|}\hline Pens&38\%\\\hline Other&$x$\\\hline\end{tabular}
\begin{tabular}{cc}\multicolumn{2}{c}{Sales}\\a&\$5\end{tabular}
\begin{eqnarray*}P(x)&=&x^2\\&=&4\end{eqnarray*}
\begin{gather*}a=b\\c=d\end{gather*}
\angle ABC=90^\circ
\triangle ABC\sim\triangle DEF
\overline{AB}\parallel\overline{CD}
\overrightarrow{AB}\perp\ell
\widehat{BAC}=60^\circ
\cos^2\theta+\sin^2\theta=1
\tan^{-1}\frac{4}{3}
\log_2 8=3
\ln e^x=x
a\equiv b\pmod{7}
7^{2023}\bmod 10
\gcd(n,100)=\text{lcm}(a,b)
\operatorname{lcm}(4,6)=12
x\in\mathbb{R}\setminus\{0\}
A\cup B\cap C\subseteq D
(-\infty,3]\cup[5,\infty)
\forall x\exists y: x<y
p\implies q\iff r
a\ne b\neq c
a\geq b\leqslant c
\pi r^2\approx 3.14
\alpha\beta\gamma\Delta\Omega\omega
z=re^{i\theta}=a+bi
\overline{z}\cdot z=|z|^2
a_1,a_2,\ldots,a_n
1+2+\cdots+n
x^{y^{z}}
x_{i_j}^{2}
2^{\frac{1}{2}}
\underbrace{1+1+\cdots+1}_{n}
\overset{?}{=}
\stackrel{\text{def}}{=}
\text{the digit sum of }12_8
\text{costs $5$ or }x
\textbf{(A)}\ 5\qquad\textbf{(B)}\ 7
\mathrm{cm}^2
10\text{ cm}
\mathcal{F}\subset\mathfrak{g}
\cancel{8}
\frac{\cancelto{2}{8}}{7}
\phantom{0}7
\not\equiv
\dots
\star\circ\bullet
x\mapsto x^2
\sin 15^\circ\cos 75^\circ
\frac{\frac{1}{2}}{\frac{3}{4}}
\sqrt{\sqrt{2}+1}
\left[\frac{3}{2},\infty\right)
\left.\frac{x^2}{2}\right|_0^1
\{1,2,3\}
\#(1,2)
a\,b\;c\quad d\!e
\displaystyle\sum_{i=1}^n i
\lvert x\rvert
\langle 1,2\rangle
\vec{v}\times\vec{w}
\hat{i}+\tilde{x}
\mathbf{A}^{-1}=\frac{1}{5}\mathbf{B}
\arcsin\frac12
\tag{1} a=b
\renewcommand{\arraystretch}{1.5}\begin{pmatrix}\frac12\\3\end{pmatrix}
\ \allowbreak\{1,2\}
'
f'(x)=f''(x)
n!
3:4
\frac{1}{2}:\frac{1}{3}
0.\overline{3}
1.2\times10^{-3}
\text{A \& B}
x\text{-axis}
D\text-ABC
""".strip().splitlines()


def families() -> list[str]:
    """Formulas that differ in their numbers and shapes."""
    made = []
    for n in range(2, 32):
        made += [
            rf"x^{{{n}}}+\frac{{{n}}}{{x-{n}}}=\sqrt{{{n * n + 1}}}",
            rf"\sum_{{k=0}}^{{{n}}}\binom{{{n}}}{{k}}{n}^k=\left({n + 1}\right)^{{{n}}}",
            rf"\begin{{pmatrix}}{n}&-1\\0&{n + 3}\end{{pmatrix}}\begin{{pmatrix}}x\\y\end{{pmatrix}}",
            rf"\boxed{{\frac{{{n}\pi}}{{{n + 1}}}}}",
        ]
    return made


FORMULAS = BY_HAND + families()

"""Texts that would be more than text, were they not refused by the reader and escaped on pages."""

PAYLOADS = {
    "jinja": "RTX {{ cycler.__init__.__globals__.os.system('id') or '' }}",
    "jinja statement": "RTX {% include '/etc/passwd' %}",
    "script": "<script>document.title='ran'</script>",
    "image": "<img src=x onerror=alert(1)>",
    "end of a script": "</script><script>alert(1)</script>",
    "attribute": 'x" onmouseover="alert(1)',
    "role": "{download}`/etc/passwd`",
    "directive": "x\n\n```{literalinclude} /proc/self/environ\n```\n\ny",
    "colon fence": "x\n\n:::{include} /etc/passwd\n:::\n",
    "comment": "x\n<!-- render claims -->\ny",
    "link": "[here](javascript:alert`1`)",
    "cell": "a | b | c",
    "formula": "$\\frac{1}{0}$ and $x^2$",
    "terminal": "a\x1b[31mred\x1b]0;title\x07",
    "next line": "a\x85b\u2028c",
    "right to left": "a\u202egnp.exe\u200f",
    "zero width": "RTX\u200b 4090\ufeff",
}

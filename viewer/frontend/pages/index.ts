/** The pages by the name in `<body data-page>`. */
export const pages: Record<string, () => void> = {};
